"""The pace of a live game, on a clock of the test's own."""

import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from metabonk.system.tic_clock import TicClock

SECONDS = 10


class Played(NamedTuple):
    """When tics were drawn, and when each filled a frame of the stream, seconds."""

    tics: list[float]
    frames: list[float]


def play(tics_per_s: float, fps: int, draw_s: Callable[[], float] = lambda: 0.002) -> Played:
    """Play for ten seconds with tics that take ``draw_s()`` to draw."""
    clock, now, tics, frames = TicClock(tics_per_s, fps), 100.0, [], []
    while now < 100 + SECONDS:
        now += draw_s()
        tics.append(now)
        if count := clock.count_frames():
            # As in the stream, a newer tic ends the repeats of the one before.
            frames = [at for at in frames if at < now]
            frames += [now, *clock.repeat_at(now, count)]
        now += clock.wait_s(now)
    return Played(tics, [at for at in frames if at < now])


def distances(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize(
    ("tics_per_s", "fps"),
    [(35, 30), (35, 60), (10, 60), (60, 30), (50, 60), (1, 30), (4, 15), (29.97, 30), (240, 30)],
)
def test_the_game_runs_at_its_own_pace_and_the_stream_at_its_own_rate(tics_per_s: float, fps: int):
    played = play(tics_per_s, fps)
    assert len(played.tics) == pytest.approx(SECONDS * tics_per_s, rel=0.01, abs=1)
    assert len(played.frames) == pytest.approx(SECONDS * fps, rel=0.01, abs=1)
    # Neither a burst nor a gap: the tic that a slot falls into may begin up to a tic before it.
    assert min(distances(played.frames)) > 0.5 / fps
    assert max(distances(played.frames)) < 1 / fps + 1 / tics_per_s + 0.001


@pytest.mark.parametrize("fps", [30, 35, 60])
def test_slots_and_repeats_are_spread_evenly_over_tics(fps: int):
    clock = TicClock(35, fps)
    counts = [clock.count_frames() for _ in range(350)]
    assert sum(counts) == 10 * fps
    assert max(counts) - min(counts) <= 1
    for count in counts:
        shown_at = (100.0, *clock.repeat_at(100.0, count))
        assert len(shown_at) == max(1, count)
        assert all(100 <= at < 100 + 1 / 35 for at in shown_at)


def test_jitter_changes_neither_rate():
    chance = random.Random(0)
    played = play(35, 30, lambda: chance.choice([0.001, 0.004, 0.030]))
    assert len(played.tics) == pytest.approx(SECONDS * 35, rel=0.01)
    assert len(played.frames) == pytest.approx(SECONDS * 30, rel=0.01)


def test_a_game_as_fast_as_its_stream_fills_one_frame_with_each_tic():
    clock = TicClock(30, 30)
    assert {clock.count_frames() for _ in range(1000)} == {1}
    assert clock.repeat_at(100.0, 1) == ()


def test_a_short_delay_is_made_up_for():
    clock = TicClock(10, 10)
    assert clock.wait_s(100.0) == pytest.approx(0.1)
    assert clock.wait_s(100.19) == pytest.approx(0.01)
    assert clock.wait_s(100.21) == pytest.approx(0.09)


def test_after_a_long_delay_tics_do_not_come_in_a_burst():
    clock = TicClock(10, 10)
    clock.wait_s(100.0)
    clock.wait_s(105.0)
    assert clock.wait_s(105.01) == pytest.approx(0.09)
    assert clock.wait_s(105.11) == pytest.approx(0.09)


def test_a_game_that_is_always_late_never_waits():
    played = play(35, 30, lambda: 0.04)
    assert distances(played.tics)[1:] == pytest.approx([0.04] * (len(played.tics) - 2))
