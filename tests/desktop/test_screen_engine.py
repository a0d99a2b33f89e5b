"""LBreakout2, which knows nothing of MetaBonk: read from its display, its clock held."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from metabonk.desktop.catalog import find_libfaketime, load
from metabonk.desktop.clock import shared_files
from metabonk.desktop.engines import open_engine
from metabonk.desktop.screen_engine import ScreenEngine
from metabonk.errors import GameError
from tests.support.desktop import write_definition
from tests.support.lbreakout import LBREAKOUT, TICS, distances
from tests.support.processes import named
from tests.support.requirements import require, require_desktop

SHORT_S, LONG_S = 0.005, 0.25


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop("lbreakout2", apt="lbreakout2 libfaketime")
    require(find_libfaketime(), "libfaketime", apt="libfaketime")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@contextlib.contextmanager
def playing(game_id: str = LBREAKOUT) -> Iterator[ScreenEngine]:
    engine = open_engine(load(game_id), None)
    assert isinstance(engine, ScreenEngine)
    with contextlib.closing(engine):
        yield engine


def program(name: str = "lbreakout2") -> psutil.Process:
    (found,) = named(psutil.Process().children(), name)
    return found


def flown(pause_s: float, *, steps: int = 14) -> list[float]:
    """Return how far the ball flies in each step between two bounces, with a policy this slow."""
    with playing() as game:
        straight = distances(game, pause_s, steps=steps)
    assert len(straight) >= 5
    return straight


def test_a_step_takes_the_same_game_time_however_long_the_policy_decides():
    fast, slow = flown(SHORT_S), flown(LONG_S)
    tic = float(np.median(fast)) / TICS
    assert np.median(slow) == pytest.approx(np.median(fast), abs=tic)
    near = [abs(each - np.median(fast)) <= tic for each in fast + slow]
    assert np.mean(near) >= 0.95


def test_the_score_and_the_end_are_read_and_nothing_moves_while_it_is_frozen():
    with playing() as game:
        assert game.reset(0).value == 0
        values = []
        for step in range(400):
            # Balls are thrown up and come down beside the paddle; some of them break bricks.
            state = game.step(("space",) if step % 2 else (), 6)
            values.append(state.value)
            if state.over:
                break
        assert state.over
        assert values == sorted(values)
        assert values[-1] % 100 == 0  # That of a whole brick; it is counted up to.
        before = game.draw()
        time.sleep(0.2)
        assert np.array_equal(game.draw(), before)


def test_the_policy_waits_for_the_game_in_real_time(tmp_path: Path):
    text = Path(__file__).parents[2] / "src/metabonk/desktop/definitions/lbreakout2.toml"
    real = text.read_text(encoding="utf-8").replace('"frozen"', '"real"')
    with playing(write_definition(tmp_path, real)) as game:
        game.reset(0)
        game.step((), 1)
        began = time.monotonic()
        for _ in range(10):
            game.step((), 4)
        assert 0.55 < time.monotonic() - began < 5


def test_a_program_that_ends_is_a_sentence():
    with playing() as game:
        game.reset(0)
        program().send_signal(signal.SIGKILL)
        with pytest.raises(GameError, match=r"lbreakout2 failed: it ended unexpectedly; .*SIGKILL"):
            for _ in range(100):
                game.step((), 1)


def test_a_display_that_ends_is_a_sentence():
    with playing() as game:
        game.reset(0)
        program("Xvfb").send_signal(signal.SIGKILL)
        with pytest.raises(GameError, match=r"lbreakout2 failed: "):
            for _ in range(100):
                game.step((), 1)


def test_a_program_without_a_window_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metabonk.desktop.screen_engine.START_S", 0.5)
    text = Path(__file__).parents[2] / "src/metabonk/desktop/definitions/lbreakout2.toml"
    sleeping = text.read_text(encoding="utf-8").replace('["lbreakout2"]', '["sleep", "60"]', 1)
    with pytest.raises(GameError, match=r"failed: it has opened no window within"):
        open_engine(load(write_definition(tmp_path, sleeping)), None)
    assert not named(psutil.Process().children(), "sleep")


def test_a_frozen_program_has_no_further_rights_and_ends_with_its_engine():
    with playing() as game:
        game.reset(0)
        game.step((), 1)
        frozen = program()
        assert frozen.status() == psutil.STATUS_STOPPED
        # It is setgid; without this its clock could not be held, nor would it end with us.
        status = Path(f"/proc/{frozen.pid}/status").read_text(encoding="utf-8")
        assert "NoNewPrivs:\t1" in status
        assert shared_files(frozen.pid)
    assert not frozen.is_running()
    assert not shared_files(frozen.pid)
