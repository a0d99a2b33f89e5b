"""Versions of games."""

from importlib.metadata import version

import gymnasium
import pytest

from metabonk.games import game_versions
from metabonk.games.versions import ENGINES


@pytest.mark.parametrize(
    ("game", "distributions"),
    [
        ("doom:basic", ["metabonk", "vizdoom"]),
        ("gym:CartPole-v1", ["metabonk", "gymnasium", "numpy"]),
        ("gym:ALE/Pong-v5", ["metabonk", "gymnasium", "numpy", "ale-py"]),
        ("gym:MiniGrid-Empty-5x5-v0", ["metabonk", "gymnasium", "numpy", "minigrid"]),
        ("gym:minigrid:MiniGrid-Empty-5x5-v0", ["metabonk", "gymnasium", "numpy", "minigrid"]),
    ],
)
def test_the_versions_are_those_of_what_a_game_consists_of(game: str, distributions: list[str]):
    assert game_versions(game) == {name: version(name) for name in distributions}


def test_a_module_outside_distributions_has_no_version():
    gymnasium.register("Here-v0", f"{__name__}:Here")
    try:
        assert game_versions("gym:Here-v0").keys() == {"metabonk", "gymnasium", "numpy"}
    finally:
        del gymnasium.registry["Here-v0"]


def test_the_modules_of_engines_are_those_of_gymnasium():
    modules = [str(spec.entry_point) for spec in gymnasium.registry.values()]
    for prefix in ENGINES:
        assert any(module.startswith(prefix) for module in modules)
