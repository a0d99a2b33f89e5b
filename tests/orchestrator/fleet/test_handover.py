from metabonk.encoding.capacity import Capacity
from metabonk.messages.workers import DesiredState
from metabonk.orchestrator.fleet.director import Assignment, Candidate, Director
from metabonk.orchestrator.fleet.handover import MAX_PREPARATION_S, REPORTED_AFTER_S, Handover

ROTATE_S = 60.0
ONE = Capacity(cpu=1)
TWO_GPUS = Capacity(gpus=("a", "b"), nvenc={"a": 1, "b": 1})


def assignments(live: set[int], workers: int = 3) -> dict[int, Assignment]:
    return {
        index: Assignment(DesiredState.LIVE if index in live else DesiredState.STANDBY, "")
        for index in range(workers)
    }


def live_after(
    handover: Handover,
    live: set[int],
    now: float,
    *candidates: Candidate,
    workers: int = 3,
    capacity: Capacity = ONE,
) -> set[int]:
    present = {index: Candidate(index) for index in range(workers)}
    present |= {candidate.index: candidate for candidate in candidates}
    applied = handover.apply(assignments(live, workers), present.values(), capacity, now)
    return {index for index, each in applied.items() if each.desired is DesiredState.LIVE}


def handing_over() -> Handover:
    """From 0 to 1, at 10 s."""
    handover = Handover()
    assert live_after(handover, {0}, 0.0) == {0}
    assert live_after(handover, {1}, 10.0) == {0, 1}
    return handover


def test_the_previous_holder_is_live_until_the_successor_is():
    handover = handing_over()
    assert live_after(handover, {1}, 10.5, Candidate(1, preparing=True)) == {0, 1}
    assert live_after(handover, {1}, 11.0, Candidate(1, live=True)) == {1}


def test_it_is_live_until_the_successor_lacks_only_the_session():
    handover = handing_over()
    preparing = Candidate(1, preparing=True)
    assert live_after(handover, {1}, 10.0 + REPORTED_AFTER_S, preparing) == {0, 1}
    assert live_after(handover, {1}, 11.5, Candidate(1)) == {1}


def test_a_state_from_before_the_assignment_does_not_count_as_ready():
    assert live_after(handing_over(), {1}, 10.0 + REPORTED_AFTER_S - 0.1, Candidate(1)) == {0, 1}


def test_the_wait_is_limited():
    handover = handing_over()
    late = 10.0 + MAX_PREPARATION_S
    assert live_after(handover, {1}, late, Candidate(1, preparing=True)) == {1}


def test_a_place_without_a_successor_ends_at_once():
    handover = Handover()
    assert live_after(handover, {0, 1}, 0.0) == {0, 1}
    assert live_after(handover, {0}, 1.0) == {0}


def test_when_the_successor_dies_the_director_decides():
    handover = handing_over()
    assert live_after(handover, {0}, 10.5, workers=1) == {0}
    assert live_after(handover, {0}, 20.0, workers=1) == {0}


def test_when_the_previous_holder_dies_nothing_of_it_remains():
    handover = handing_over()
    present = [Candidate(1), Candidate(2)]
    kept = handover.apply({i: a for i, a in assignments({1}).items() if i}, present, ONE, 10.5)
    assert kept.keys() == {1, 2}


def test_two_places_change_hands_at_once():
    handover = Handover()
    assert live_after(handover, {0, 1}, 0.0, workers=4) == {0, 1}
    assert live_after(handover, {2, 3}, 10.0, workers=4) == {0, 1, 2, 3}
    assert live_after(handover, {2, 3}, 10.5, Candidate(2, live=True), workers=4) == {1, 2, 3}


def test_a_successor_follows_the_worker_whose_session_it_can_use():
    handover = Handover()
    assert live_after(handover, {0, 1}, 0.0, workers=5, capacity=TWO_GPUS) == {0, 1}
    coming = [Candidate(3, preparing=True), Candidate(4, live=True)]
    assert live_after(handover, {3, 4}, 9.0, *coming, workers=5, capacity=TWO_GPUS) == {1, 3, 4}


def test_the_reason_names_the_successor():
    director, handover = Director(ROTATE_S), Handover()
    candidates = [Candidate(0), Candidate(1)]
    for now in (0.0, ROTATE_S):
        applied = handover.apply(director.decide(candidates, ONE, now), candidates, ONE, now)
    assert applied[0] == Assignment(DesiredState.LIVE, "live until omega-1 is ready")


def test_a_guest_with_the_index_of_one_that_left_is_not_kept_live_for_it():
    handover = Handover()
    assert live_after(handover, {0}, 0.0) == {0}
    handover.forget(0)
    assert live_after(handover, {1}, 10.0) == {1}
