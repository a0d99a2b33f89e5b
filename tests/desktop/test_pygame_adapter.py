"""A pygame game that is moved by its adapter."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from metabonk.desktop.adapter_engine import AdapterEngine
from metabonk.desktop.catalog import Entry
from metabonk.errors import GameError
from metabonk.games import make_game
from metabonk.settings.learning import Learning
from tests.support.desktop import pygame_game
from tests.support.requirements import require_desktop

pytest.importorskip("pygame")


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop(apt="")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


def playing(entry: Entry) -> contextlib.closing[AdapterEngine]:
    return contextlib.closing(AdapterEngine(entry, None))


def test_it_moves_by_tics_and_ends_by_its_rule(tmp_path: Path):
    with playing(pygame_game(tmp_path)) as game:
        assert game.reset(1) == (0.0, False, 0)
        assert game.step(("right",), 5) == (pytest.approx(6.0), False, 5)
        assert game.step((), 50).value == pytest.approx(6.0)
        state = game.step(("right",), 50)
        assert (state.over, state.tics) == (True, 12)


def test_time_and_random_numbers_are_the_same_in_every_run(tmp_path: Path):
    entry = pygame_game(tmp_path, replace=('"player.x"', '"wind + 10 * round(passed * 50)"'))
    runs = []
    for seed in (1, 1, 2):
        with playing(entry) as game:
            game.reset(seed)
            runs.append([game.step((), 1).value for _ in range(10)])
    assert runs[0] == runs[1] != runs[2]
    assert [int(value // 10) for value in runs[0]] == list(range(1, 11))


def test_a_frame_is_what_the_game_draws(tmp_path: Path):
    with playing(pygame_game(tmp_path)) as game:
        game.reset(1)
        game.step(("right",), 5)
        pixels = game.draw()
        assert pixels.shape == (120, 160, 3)
        assert np.flatnonzero(pixels[25, :, 0]).tolist() == list(range(6, 16))


def test_a_game_that_breaks_is_a_sentence_and_one_that_is_left_is_over(tmp_path: Path):
    with playing(pygame_game(tmp_path)) as game:
        game.reset(1)
        with pytest.raises(GameError, match="exit code 1, and says: RuntimeError: out of luck"):
            game.step(("e",), 1)
    with playing(pygame_game(tmp_path)) as game:
        game.reset(1)
        game.step(("right",), 5)
        state = game.step(("q",), 5)
        assert (state.value, state.over) == (pytest.approx(6.0), True)


def test_a_mistake_in_an_expression_is_a_sentence(tmp_path: Path):
    entry = pygame_game(tmp_path, replace=('"player.x"', '"score"'))
    with (
        playing(entry) as game,
        pytest.raises(GameError, match="says: NameError: name 'score' is not defined"),
    ):
        game.reset(1)


def test_workers_play_an_episode_in_each_process(tmp_path: Path):
    with contextlib.closing(make_game(pygame_game(tmp_path).game_id, Learning())) as game:
        for seed in (1, 2):
            game.reset(seed)
            assert sum(game.step(1).reward for _ in range(3)) == pytest.approx(18)
