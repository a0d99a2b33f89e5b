import pytest

from metabonk.messages import CounterOffset
from metabonk.orchestrator.registry import (
    STALE_AFTER_S,
    Registry,
    SuspendAwareClock,
    Tallies,
    including,
)
from tests.support.statuses import status


def test_the_newest_status_of_each_worker_counts_and_they_come_by_index():
    registry = Registry()
    registry.record(status(10), 0.0)
    registry.record(status(2, step=1), 0.0)
    registry.record(status(2, step=2), 1.0)
    assert [(s.worker_index, s.step) for s in registry.known()] == [(2, 2), (10, 0)]


def test_a_silent_worker_is_known_but_not_fresh_until_it_speaks_again():
    registry = Registry()
    registry.record(status(0), 0.0)
    later = STALE_AFTER_S + 1
    registry.record(status(1), later)
    assert [s.worker_index for s in registry.fresh(later)] == [1]
    assert registry.silent(later) == {"omega-0": later}
    assert len(registry.known()) == 2
    registry.record(status(0), later)
    assert registry.silent(later) == {}
    assert len(registry.fresh(later)) == 2


def test_a_worker_whose_process_ended_is_forgotten():
    registry = Registry()
    registry.record(status(0), 0.0)
    registry.forget("omega-0")
    registry.forget("omega-1")
    assert registry.known() == []


def test_the_first_process_of_a_worker_counts_from_nothing():
    tallies = Tallies({})
    assert tallies.begin(status(0, pid=1, step=7)) == CounterOffset()
    assert tallies.begin(status(0, pid=1, step=90)) == CounterOffset()


def test_a_process_that_is_started_again_goes_on_where_the_last_was_heard_of():
    tallies = Tallies({})
    tallies.begin(status(0, pid=1, step=90, episode=3))
    begun = CounterOffset(step=90, episode=3)
    assert tallies.begin(status(0, pid=2, step=4)) == begun
    assert tallies.begin(status(0, pid=2, step=120, episode=4)) == begun
    assert tallies.begin(status(0, pid=3)) == CounterOffset(step=120, episode=4)
    assert tallies.begin(status(1, pid=4)) == CounterOffset()


def test_the_first_heartbeat_of_a_process_does_not_know_what_was_before():
    counted = CounterOffset(step=90, episode=3)
    first = including(status(0, step=4, episode=0), counted)
    assert (first.step, first.episode) == (94, 3)
    later = including(status(0, step=120, episode=4), counted)
    assert (later.step, later.episode) == (120, 4)


def test_a_run_that_is_resumed_goes_on_where_its_episodes_end():
    tallies = Tallies({2: CounterOffset(step=500, episode=9)})
    assert tallies.begin(status(2, pid=1, step=10)) == CounterOffset(step=500, episode=9)


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def test_it_runs_while_it_is_asked_all_the_time(ticks: Ticks):
    clock = SuspendAwareClock(ticks)
    began = clock()
    for _ in range(20):
        ticks.now += 0.25
        clock()
    assert clock() - began == pytest.approx(5.0)


def test_it_stands_still_while_the_process_does_and_runs_on_from_there(ticks: Ticks):
    clock = SuspendAwareClock(ticks)
    began = clock()
    for pause in (30.0, 0.25, 3600.0, 0.25):
        ticks.now += pause
        clock()
    assert clock() - began == pytest.approx(0.5)
