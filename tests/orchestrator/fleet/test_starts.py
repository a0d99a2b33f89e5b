from metabonk.orchestrator.fleet.starts import BEGINS, FIRST_TURN, Starts
from metabonk.orchestrator.processes.supervisor import ChildState


def test_a_start_is_awaited_from_when_it_is_wanted():
    starts = Starts()
    starts.update({"omega-0": ChildState.WAITING}, 10.0)
    first = starts.update({"omega-0": ChildState.WAITING}, 12.0)["omega-0"]
    assert (first.reason, first.waited_s) == (FIRST_TURN, 2.0)
    second = starts.update({"omega-0": ChildState.RUNNING}, 15.5)["omega-0"]
    assert (second.reason, second.waited_s) == (BEGINS, 5.5)


def test_after_an_end_the_next_process_is_awaited_anew_and_the_end_is_told():
    starts = Starts()
    starts.update({"omega-0": ChildState.RUNNING}, 0.0)
    starts.on_exit("omega-0", "omega-0 was killed", 60.0)
    for state in (ChildState.WAITING, ChildState.RUNNING):
        start = starts.update({"omega-0": state}, 63.0)["omega-0"]
        assert (start.reason, start.waited_s) == ("starts again: omega-0 was killed", 3.0)


def test_what_is_stopped_or_removed_is_not_awaited():
    starts = Starts()
    starts.update({"guest": ChildState.RUNNING}, 0.0)
    assert starts.update({"omega-0": ChildState.STOPPED}, 1.0) == {}
    assert starts.update({"guest": ChildState.WAITING}, 9.0)["guest"].waited_s == 0.0
