"""Who is live: examples from the contract, then properties over arbitrary histories."""

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import given, settings

from metabonk.messages import Desired, StreamState
from metabonk.orchestrator.director import (
    FAILING_S,
    MIN_LIVE_S,
    SETTLE_S,
    VIEWER_GRACE_S,
    Candidate,
    Director,
    candidates_of,
)
from tests.orchestrator.statuses import status

ROTATE_S = 60.0


def live(director: Director, candidates: list[Candidate], capacity: int, now: float) -> set[int]:
    wishes = director.decide(candidates, capacity, now)
    assert wishes.keys() == {candidate.index for candidate in candidates}
    return {index for index, wish in wishes.items() if wish.desired is Desired.LIVE}


def idle(*indices: int) -> list[Candidate]:
    return [Candidate(index) for index in indices]


def test_two_of_two_are_live_two_of_three_and_two_of_five():
    for workers in (2, 3, 5):
        assert live(Director(ROTATE_S), idle(*range(workers)), 2, 0.0) == {0, 1}


def test_the_first_by_index_are_live_first_even_when_others_are_heard_of_sooner():
    director = Director(ROTATE_S)
    assert live(director, idle(4), 1, 0.0) == set()
    assert live(director, idle(0, 4), 1, 1.0) == {0}


def test_a_place_whose_worker_does_not_come_goes_to_another():
    director = Director(ROTATE_S)
    assert live(director, idle(4), 1, 0.0) == set()
    assert live(director, idle(4), 1, SETTLE_S) == {4}


def test_places_go_round_and_everybody_has_a_turn():
    director = Director(ROTATE_S)
    shown = [live(director, idle(*range(5)), 2, turn * ROTATE_S) for turn in range(6)]
    assert shown == [{0, 1}, {2, 3}, {0, 4}, {1, 2}, {0, 3}, {1, 4}]


def test_where_one_of_six_waits_each_waits_for_one_turn():
    director = Director(ROTATE_S)
    waiting = []
    for now in range(0, 360, 5):
        shown = live(director, idle(*range(6)), 5, float(now))
        waiting += [index for index in range(6) if index not in shown]
    assert waiting == [i for index in (5, 0, 1, 2, 3, 4) for i in [index] * 12]


def test_nothing_rotates_where_everybody_is_live():
    director = Director(ROTATE_S)
    for turn in range(4):
        assert live(director, idle(0, 1), 2, turn * ROTATE_S) == {0, 1}


def test_a_worker_that_is_opened_gets_a_place_at_once_from_one_that_nobody_watches():
    director = Director(ROTATE_S)
    live(director, idle(0, 1, 2), 1, 0.0)
    assert live(director, [*idle(0, 1), Candidate(2, watched=True)], 1, 10.0) == {2}


def test_a_place_is_never_taken_from_a_watched_worker():
    director = Director(ROTATE_S)
    watched = [Candidate(0, watched=True), Candidate(1, watched=True)]
    for now in range(0, 600, 5):
        assert live(director, watched, 1, float(now)) == {0}


def test_a_reload_of_the_page_costs_nobody_the_place():
    director = Director(ROTATE_S)
    watched = [Candidate(0, watched=True), Candidate(1)]
    for now in range(70):
        live(director, watched, 1, float(now))
    assert live(director, idle(0, 1), 1, 69.0 + VIEWER_GRACE_S) == {0}
    assert live(director, idle(0, 1), 1, 69.1 + VIEWER_GRACE_S) == {1}


def test_the_first_to_be_opened_comes_first():
    director = Director(ROTATE_S)
    live(director, idle(0, 1, 2), 1, 0.0)
    live(director, [*idle(0, 1), Candidate(2, watched=True)], 1, 1.0)
    both = [Candidate(0), Candidate(1, watched=True), Candidate(2, watched=True)]
    assert live(director, both, 1, MIN_LIVE_S) == {2}


def test_a_worker_that_dies_frees_its_place():
    director = Director(ROTATE_S)
    live(director, idle(0, 1), 1, 0.0)
    assert live(director, idle(1), 1, SETTLE_S + 1) == {1}
    assert live(director, idle(0, 1), 1, SETTLE_S + 2) == {1}


def test_a_worker_whose_encoder_fails_passes_its_place_on():
    director = Director(ROTATE_S)
    failing = [Candidate(0, failing=True), Candidate(1)]
    assert live(director, failing, 1, 0.0) == {0}
    assert live(director, failing, 1, FAILING_S) == {1}


def test_fewer_sessions_take_the_newest_place_and_none_at_all_takes_every_one():
    director = Director(ROTATE_S)
    live(director, idle(0, 1), 2, 0.0)
    assert live(director, idle(0, 1), 1, 1.0) == {0}
    wishes = director.decide(idle(0, 1), 0, 2.0)
    assert "no encoder session" in wishes[0].reason
    assert {wish.desired for wish in wishes.values()} == {Desired.STANDBY}


def test_who_waits_is_told_for_whom_and_for_how_long():
    director = Director(ROTATE_S)
    wishes = director.decide(idle(0, 1, 2), 1, 0.0)
    assert wishes[1].reason == "the encoder session went to omega-0; its turn comes in 60 s"
    assert wishes[2].reason == "the encoder session went to omega-0; its turn comes in 120 s"


def test_a_status_says_who_is_watched_and_who_may_stream():
    statuses = [
        status(0, stream_dedicated_clients=1, stream_active_clients=1),
        status(1, stream_active_clients=3),
        status(2, stream_enabled=False),
        status(3, stream_state=StreamState.ERROR),
        status(4, stream_state=StreamState.STARTING),
        status(5, stream_state=StreamState.LIVE),
    ]
    assert candidates_of(statuses) == [
        Candidate(0, watched=True),
        Candidate(1),
        Candidate(3, failing=True),
        Candidate(4, preparing=True),
        Candidate(5, live=True),
    ]


@dataclass(frozen=True)
class Moment:
    """One call: seconds since the last, who is there, how many sessions."""

    wait: float
    candidates: tuple[Candidate, ...]
    capacity: int


candidate = st.builds(Candidate, st.integers(0, 6), watched=st.booleans(), failing=st.booleans())
moment = st.builds(
    Moment,
    st.sampled_from([0.0, 0.5, 1.0, 4.0, 10.0, 61.0]),
    st.lists(candidate, max_size=7, unique_by=lambda c: c.index).map(tuple),
    st.integers(0, 5),
)
histories = st.lists(moment, max_size=40)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_over_any_history_the_rules_hold(history: list[Moment]):
    director, now = Director(ROTATE_S), 0.0
    first_heard: float | None = None
    before: set[int] = set()
    live_since: dict[int, float] = {}
    watched_at: dict[int, float] = {}
    for at in history:
        now += at.wait
        present = {c.index for c in at.candidates}
        watched = {c.index for c in at.candidates if c.watched}
        watched_at.update(dict.fromkeys(watched, now))
        if present and first_heard is None:
            first_heard = now
        chosen = live(director, list(at.candidates), at.capacity, now)

        assert len(chosen) <= max(at.capacity, len(before & chosen)), "more than there is"
        kept = {i for i in chosen if now - watched_at.get(i, -1e9) <= VIEWER_GRACE_S}
        assert len(chosen) <= at.capacity or chosen == kept, "only the watched exceed the limit"
        assert before & watched <= chosen, "a watched worker lost its place"
        if first_heard is not None and now - first_heard >= SETTLE_S:
            assert len(chosen) >= min(at.capacity, len(present)), "a session lies idle"
        if len(before) <= at.capacity:
            for lost in (before & present) - chosen:
                assert now - live_since[lost] >= MIN_LIVE_S, "it flapped"
        if watched - chosen:
            free_for_viewers = {
                i
                for i in chosen
                if i in before and i not in kept and now - live_since[i] >= MIN_LIVE_S
            }
            assert not free_for_viewers, "a viewer waits while nobody watches another"
        assert live(director, list(at.candidates), at.capacity, now) == chosen, "not settled"

        for index in chosen - before:
            live_since[index] = now
        before = chosen


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_everybody_is_shown_within_as_many_rounds_as_it_takes(workers: int, capacity: int):
    director, shown = Director(ROTATE_S), set()
    rounds = -(-workers // capacity)
    for turn in range(rounds):
        shown |= live(director, idle(*range(workers)), capacity, turn * ROTATE_S)
    assert shown == set(range(workers))
