"""Games of consoles: their definitions, and Airstriker, whose ROM comes with stable-retro."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from metabonk.desktop import retro
from metabonk.desktop.catalog import load as load_definition
from metabonk.desktop.engines import open_engine
from metabonk.errors import GameError, GameStartError, UnknownGame
from tests.support.desktop import write_definition

AIRSTRIKER = "retro:Airstriker-Genesis-v0"

OWN_DEFINITION = """
name = "Airstriker, with few buttons"
command = ["{python}", "{game}"]
sizes = [[160, 112]]
modules = ["stable_retro"]

[clock]
kind = "adapter"
tics_per_step = 4

[adapter]
engine = "retro"
source = "Airstriker-Genesis-v0"
begin = "Level1"

[actions]
fire = ["B"]
left = ["LEFT"]
nothing = ["TURBO"]

[reward]
from = "adapter"
value = "score / 20"

[episode]
over = "lives < 3"
"""


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_retro")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


def test_few_buttons_are_combined_and_of_many_one_at_a_time():
    nes = ["B", None, "SELECT", "START", "UP", "DOWN", "LEFT", "RIGHT", "A"]
    directions = [0, 16, 32], [0, 64, 128]
    few = retro.actions(nes, [*directions, [0, 1, 256, 257]])
    assert len(few) == 36
    assert few["wait"] == ()
    assert few["up_left_b_a"] == ("UP", "LEFT", "B", "A")
    many = retro.actions(nes, [*directions, [0, 1, 4, 256, 257, 5, 260, 261]])
    assert len(many) == 36
    assert max(map(len, many.values())) == 3


def test_what_cant_be_opened_is_a_sentence():
    with pytest.raises(UnknownGame, match=r"no such game; near are Airstriker-Genesis-v0"):
        retro.load("retro:Airstriker")
    with pytest.raises(UnknownGame, match=r"ROM is not here: .* -m stable_retro.import FOLDER"):
        retro.load("retro:SonicTheHedgehog-Genesis-v0")
    with pytest.raises(UnknownGame, match=r"no savestate 'Level9'; it has Level1"):
        retro.load(f"{AIRSTRIKER}:Level9")


def test_without_the_package_the_command_that_adds_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retro, "is_installed", lambda module: False)
    with pytest.raises(GameStartError, match=r"needs? stable-retro.*pip install '.*\[retro\]'"):
        retro.load(AIRSTRIKER)


def test_an_episode_follows_from_its_seed_whatever_was_played_before():
    entry = retro.load(AIRSTRIKER)
    keys = tuple(entry.definition.actions.values())

    def play(seed: int) -> list[bytes]:
        engine.reset(seed)
        seen = []
        for number in range(60):
            state = engine.step(keys[7 * number % len(keys)], 4)
            seen.append(engine.draw().tobytes() + repr(state).encode())
        return seen

    with contextlib.closing(open_engine(entry, None)) as engine:
        assert engine.size == (320, 224)
        first = play(1)
        assert len(set(first)) > 50
        assert play(2) != first
    with contextlib.closing(open_engine(entry, (640, 480))) as engine:
        play(2)
        assert play(1) == first


def test_a_definition_of_ones_own_names_buttons_and_variables(tmp_path: Path):
    entry = load_definition(write_definition(tmp_path, OWN_DEFINITION))
    with contextlib.closing(open_engine(entry, None)) as engine:
        engine.reset(1)
        states = [engine.step(("B",), 4)]
        while not states[-1].over:
            keys = ("B", "LEFT") if len(states) % 2 else ("RIGHT",)
            states.append(engine.step(keys, 4))
        assert states[-1].value > 0
        assert engine.draw().shape == (112, 160, 3)
        assert np.ptp(engine.draw()) > 100
        engine.reset(2)
        with pytest.raises(GameError, match=r"no button TURBO; its buttons are B, A, MODE, "):
            engine.step(("TURBO",), 4)
