import pytest

from metabonk.messages.workers import Counters
from metabonk.orchestrator.fleet.registry import STALE_AFTER_S, Registry, SuspendAwareClock
from tests.support.clock import Clock
from tests.support.statuses import status


def test_the_last_status_of_each_worker_counts_and_they_come_by_index():
    registry = Registry()
    registry.record(status(10), 0.0)
    registry.record(status(2, step=1), 0.0)
    registry.record(status(2, step=2), 1.0)
    assert [(s.worker_index, s.step) for s in registry.known()] == [(2, 2), (10, 0)]


def test_a_silent_worker_is_known_but_not_fresh_until_its_next_heartbeat():
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


def test_a_worker_whose_process_ended_stays_known_with_its_counts_but_does_not_run():
    registry = Registry()
    registry.record(status(0, step=90, stream_state="live", stream_active_clients=2), 0.0)
    registry.end("omega-0", "omega-0 was killed")
    registry.end("omega-1", "omega-1 was killed")
    (known,) = registry.known()
    assert (known.stream_state, known.stream_error) == ("starting", "omega-0 was killed")
    assert (known.step, known.stream_active_clients, known.steps_per_s) == (90, 0, 0.0)
    assert registry.running() == registry.fresh(0.0) == []
    assert registry.silent(1_000.0) == {}
    registry.record(status(0, step=91), 1.0)
    assert registry.running() == registry.known() == [status(0, step=91)]


def test_a_worker_that_is_gone_for_good_is_forgotten():
    registry = Registry()
    registry.record(status(0), 0.0)
    registry.forget("omega-0")
    registry.forget("omega-1")
    assert registry.known() == []


def test_the_first_process_of_a_worker_counts_from_zero():
    assert Registry().counters(0) == Counters(step=0, episode=0)


def test_a_restarted_worker_counts_on_from_its_last_heartbeat():
    registry = Registry()
    registry.record(status(0, pid=1, step=90, episode=3), 0.0)
    registry.end("omega-0", "omega-0 was killed")
    assert registry.counters(0) == Counters(step=90, episode=3)
    registry.record(status(0, pid=2, step=120, episode=4), 1.0)
    assert registry.counters(0) == Counters(step=120, episode=4)
    assert registry.counters(1) == Counters()


def test_counters_never_go_back():
    registry = Registry({0: Counters(step=90, episode=3)})
    registry.record(status(0, step=4, episode=0), 0.0)
    assert registry.counters(0) == Counters(step=90, episode=3)


def test_the_workers_of_a_resumed_run_count_on_from_its_episodes():
    registry = Registry({2: Counters(step=500, episode=9)})
    assert registry.counters(2) == Counters(step=500, episode=9)
    assert registry.counters(0) == Counters()


@pytest.fixture
def monotonic() -> Clock:
    return Clock(100.0)


def test_the_clock_runs_while_it_is_read(monotonic: Clock):
    clock = SuspendAwareClock(monotonic)
    began = clock()
    for _ in range(20):
        monotonic.now += 0.25
        clock()
    assert clock() - began == pytest.approx(5.0)


def test_the_clock_stands_still_during_a_suspension(monotonic: Clock):
    clock = SuspendAwareClock(monotonic)
    began = clock()
    for pause in (30.0, 0.25, 3600.0, 0.25):
        monotonic.now += pause
        clock()
    assert clock() - began == pytest.approx(0.5)
