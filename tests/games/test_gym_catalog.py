"""Environments of other packages, found by their ids."""

import subprocess
import sys

import pytest

from metabonk.errors import UnknownGame
from metabonk.games import describe_game, make_game
from metabonk.games.gym_catalog import Package
from metabonk.settings.learning import Learning


def test_a_well_known_package_is_imported_by_the_id_alone():
    program = (
        "import gymnasium; from metabonk.games.gym_catalog import import_package\n"
        "assert 'MiniGrid-Empty-5x5-v0' not in gymnasium.registry\n"
        "import_package('MiniGrid-Empty-5x5-v0')\n"
        "assert 'MiniGrid-Empty-5x5-v0' in gymnasium.registry"
    )
    # Of its own, since what is imported here stays so.
    subprocess.run([sys.executable, "-c", program], check=True)


def test_atari_plays_by_its_id_alone():
    game = make_game("gym:ALE/Pong-v5", Learning())
    try:
        assert game.action_names[:2] == ("noop", "fire")
        assert game.reset(1).shape == (84, 84, 4)
    finally:
        game.close()


def test_a_package_that_is_not_installed_comes_with_the_command(monkeypatch: pytest.MonkeyPatch):
    lacking = (Package(("Chess-",), "no_such_chess", "chess-of-tests"),)
    monkeypatch.setattr("metabonk.games.gym_catalog.PACKAGES", lacking)
    with pytest.raises(UnknownGame, match="pip install chess-of-tests'"):
        describe_game("gym:Chess-v0", Learning())


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("CartPol-v1", r"Did you mean: `CartPole`\?.*pip install PACKAGE'.*gym:MODULE:ID"),
        ("CartPole-v7", r"versioned environments: \[ `v0`, `v1` \]"),
        ("nope:Chess-v0", r"no module 'nope'.*PYTHONPATH"),
    ],
)
def test_an_unknown_id_comes_with_the_nearest_ones(name: str, advice: str):
    with pytest.raises(UnknownGame, match=advice) as raised:
        describe_game(f"gym:{name}", Learning())
    assert "doom" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_a_version_that_is_gone_comes_with_its_successor():
    with pytest.raises(UnknownGame, match="Please use `LunarLander-v3` instead"):
        describe_game("gym:LunarLander-v2", Learning())
