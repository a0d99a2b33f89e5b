from metabonk.orchestrator.registry import STALE_AFTER_S, Registry
from tests.orchestrator.statuses import status


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
