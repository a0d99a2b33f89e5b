"""Who passes a place on stays live until the successor is ready."""

from metabonk.encoding.capacity import Capacity
from metabonk.messages import DesiredState
from metabonk.orchestrator.director import (
    HEARD_S,
    LONGEST_S,
    Assignment,
    Candidate,
    Director,
    Handover,
)

ROTATE_S = 60.0
ONE = Capacity(cpu=1)
TWO_GPUS = Capacity(gpus=("a", "b"), nvenc={"a": 1, "b": 1})


def wishes(live: set[int], workers: int = 3) -> dict[int, Assignment]:
    return {
        index: Assignment(DesiredState.LIVE if index in live else DesiredState.STANDBY, "")
        for index in range(workers)
    }


def shown(
    handover: Handover,
    live: set[int],
    now: float,
    *candidates: Candidate,
    workers: int = 3,
    capacity: Capacity = ONE,
) -> set[int]:
    present = {index: Candidate(index) for index in range(workers)}
    present |= {candidate.index: candidate for candidate in candidates}
    applied = handover.apply(wishes(live, workers), present.values(), capacity, now)
    return {index for index, wish in applied.items() if wish.desired is DesiredState.LIVE}


def handing_over() -> Handover:
    """From 0 to 1, at 10 s."""
    handover = Handover()
    assert shown(handover, {0}, 0.0) == {0}
    assert shown(handover, {1}, 10.0) == {0, 1}
    return handover


def test_the_old_one_is_shown_until_the_successor_is_live():
    handover = handing_over()
    assert shown(handover, {1}, 10.5, Candidate(1, preparing=True)) == {0, 1}
    assert shown(handover, {1}, 11.0, Candidate(1, live=True)) == {1}


def test_or_until_nothing_but_the_session_is_missing():
    handover = handing_over()
    assert shown(handover, {1}, 10.0 + HEARD_S, Candidate(1, preparing=True)) == {0, 1}
    assert shown(handover, {1}, 11.5, Candidate(1)) == {1}


def test_a_state_from_before_the_wish_is_not_taken_for_ready():
    assert shown(handing_over(), {1}, 10.0 + HEARD_S - 0.1, Candidate(1)) == {0, 1}


def test_it_does_not_wait_for_ever():
    handover = handing_over()
    assert shown(handover, {1}, 10.0 + LONGEST_S, Candidate(1, preparing=True)) == {1}


def test_a_place_that_nobody_takes_over_ends_at_once():
    handover = Handover()
    assert shown(handover, {0, 1}, 0.0) == {0, 1}
    assert shown(handover, {0}, 1.0) == {0}


def test_when_the_successor_dies_the_director_has_the_word():
    handover = handing_over()
    assert shown(handover, {0}, 10.5, workers=1) == {0}
    assert shown(handover, {0}, 20.0, workers=1) == {0}


def test_when_the_old_one_dies_nothing_of_it_is_left():
    handover = handing_over()
    present = [Candidate(1), Candidate(2)]
    kept = handover.apply({i: w for i, w in wishes({1}).items() if i}, present, ONE, 10.5)
    assert kept.keys() == {1, 2}


def test_two_places_change_hands_at_once():
    handover = Handover()
    assert shown(handover, {0, 1}, 0.0, workers=4) == {0, 1}
    assert shown(handover, {2, 3}, 10.0, workers=4) == {0, 1, 2, 3}
    assert shown(handover, {2, 3}, 10.5, Candidate(2, live=True), workers=4) == {1, 2, 3}


def test_a_successor_follows_the_one_whose_session_it_can_have():
    handover = Handover()
    assert shown(handover, {0, 1}, 0.0, workers=5, capacity=TWO_GPUS) == {0, 1}
    passed = [Candidate(3, preparing=True), Candidate(4, live=True)]
    assert shown(handover, {3, 4}, 9.0, *passed, workers=5, capacity=TWO_GPUS) == {1, 3, 4}


def test_who_waits_learns_who_comes_after():
    director, handover = Director(ROTATE_S), Handover()
    candidates = [Candidate(0), Candidate(1)]
    for now in (0.0, ROTATE_S):
        told = handover.apply(director.decide(candidates, ONE, now), candidates, ONE, now)
    assert told[0] == Assignment(DesiredState.LIVE, "shown until omega-1 is ready")
