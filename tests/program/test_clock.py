import pytest

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.program.clock import MAX_LAG_S, SourceClock

FRAME = TIMESCALE // 30


def test_frames_that_arrive_unevenly_keep_the_distances_at_which_they_were_captured():
    clock = SourceClock()
    delays = [0.0, 0.04, 0.01, 0.09, 0.0]
    times = [clock.at(i * FRAME, 100 + i / 30 + delay) for i, delay in enumerate(delays)]
    assert times == pytest.approx([100 + i / 30 for i in range(len(delays))])


def test_frames_that_come_at_once_are_not_dated_into_the_future():
    clock = SourceClock()
    assert [clock.at(i * FRAME, 100.0) for i in range(3)] == pytest.approx([100.0] * 3)
    assert clock.at(3 * FRAME, 100 + 1 / 30) == pytest.approx(100 + 1 / 30)


def test_a_pause_that_the_source_has_shortened_is_kept():
    clock = SourceClock()
    clock.at(0, 100.0)
    assert clock.at(FRAME, 100 + 1 / 30 + MAX_LAG_S + 0.01) == pytest.approx(100.2933, abs=1e-3)


def test_each_epoch_has_its_own_zero():
    clock = SourceClock()
    clock.at(50 * FRAME, 100.0)
    clock.restart()
    assert clock.at(0, 100.1) == 100.1
