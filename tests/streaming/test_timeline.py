"""Media time: true where players can take it, shortened where they can't."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from metabonk.streaming.fmp4 import TIMESCALE
from metabonk.streaming.timeline import Timeline


def placed(times: list[float], fps: int = 30) -> list[int]:
    timeline = Timeline(fps)
    return [timeline.place(time) for time in times]


def test_an_epoch_starts_at_zero_and_keeps_true_time():
    times = [5000.0, 5000.033, 5000.05, 5000.17]
    assert placed(times) == [0, 2970, 4500, 15_300]


def test_a_long_pause_is_shortened_and_later_times_move_with_it():
    before, after, later = placed([0.0, 10.0, 10.05])
    limit = 2 * Timeline(30).duration
    assert 0 < after - before <= limit
    assert later - after == round(0.05 * TIMESCALE)


def test_times_that_round_to_the_same_still_grow():
    assert placed([1.0, 1.000001, 1.000002]) == [0, 1, 2]


def test_a_slow_stream_declares_its_own_longer_duration():
    assert Timeline(5).duration == TIMESCALE // 5
    assert placed([0.0, 0.2, 0.4], fps=5) == [0, 18_000, 36_000]


@given(st.lists(st.floats(1e-6, 3.0), max_size=50), st.integers(1, 120))
def test_no_step_is_one_that_makes_a_player_throw_pictures_away(steps: list[float], fps: int):
    at, times = 1e5, [1e5]
    for step in steps:
        at += step
        times.append(at)
    shown = placed(times, fps)
    declared = Timeline(fps).duration
    assert all(0 < b - a < 2 * declared for a, b in pairwise(shown))


def test_rounding_does_not_add_up():
    times = [i / 30 + i * 1e-7 for i in range(10_000)]
    assert abs(placed(times)[-1] - round(times[-1] * TIMESCALE)) <= 1
