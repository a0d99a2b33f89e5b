"""Counting goes on where the process before has ended."""

from metabonk.messages import Counted
from metabonk.orchestrator.tallies import Tallies, including
from tests.orchestrator.statuses import status


def test_the_first_process_of_a_worker_counts_from_nothing():
    tallies = Tallies({})
    assert tallies.begin(status(0, pid=1, step=7)) == Counted()
    assert tallies.begin(status(0, pid=1, step=90)) == Counted()


def test_a_process_that_is_started_again_goes_on_where_the_last_was_heard_of():
    tallies = Tallies({})
    tallies.begin(status(0, pid=1, step=90, episode=3))
    begun = Counted(step=90, episode=3)
    assert tallies.begin(status(0, pid=2, step=4)) == begun
    assert tallies.begin(status(0, pid=2, step=120, episode=4)) == begun
    assert tallies.begin(status(0, pid=3)) == Counted(step=120, episode=4)
    assert tallies.begin(status(1, pid=4)) == Counted()


def test_the_first_heartbeat_of_a_process_does_not_know_what_was_before():
    counted = Counted(step=90, episode=3)
    first = including(status(0, step=4, episode=0), counted)
    assert (first.step, first.episode) == (94, 3)
    later = including(status(0, step=120, episode=4), counted)
    assert (later.step, later.episode) == (120, 4)


def test_a_run_that_is_resumed_goes_on_where_its_episodes_end():
    tallies = Tallies({2: Counted(step=500, episode=9)})
    assert tallies.begin(status(2, pid=1, step=10)) == Counted(step=500, episode=9)
