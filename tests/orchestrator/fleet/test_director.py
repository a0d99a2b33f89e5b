"""Examples of assignments, then properties over arbitrary histories."""

import time
from dataclasses import dataclass, replace

import hypothesis.strategies as st
from hypothesis import given, settings

from metabonk.encoding.capacity import Capacity
from metabonk.messages.workers import DesiredState, StreamState
from metabonk.orchestrator.fleet.director import (
    CLAIM_S,
    FAILING_S,
    MIN_LIVE_S,
    SETTLE_S,
    VIEWER_GRACE_S,
    Candidate,
    Director,
    candidates_of,
)
from tests.support.machine_speed import slowness
from tests.support.statuses import status

ROTATE_S = 60.0
TWO_GPUS = Capacity(gpus=("nvenc-gpu0", "nvenc-gpu1"), nvenc={"nvenc-gpu0": 1, "nvenc-gpu1": 1})
"""Even workers use the first, odd ones the second."""


def live(
    director: Director, candidates: list[Candidate], capacity: int | Capacity, now: float
) -> set[int]:
    decided = director.decide(candidates, capacity_of(capacity), now)
    assert decided.keys() == {candidate.index for candidate in candidates}
    return {index for index, each in decided.items() if each.desired is DesiredState.LIVE}


def capacity_of(sessions: int | Capacity) -> Capacity:
    """Return a capacity; a number is one of sessions that all workers share."""
    return Capacity(cpu=sessions) if isinstance(sessions, int) else sessions


def idle(*indices: int) -> list[Candidate]:
    return [Candidate(index) for index in indices]


def test_with_two_sessions_two_workers_of_two_three_or_five_are_live():
    for workers in (2, 3, 5):
        assert live(Director(ROTATE_S), idle(*range(workers)), 2, 0.0) == {0, 1}


def test_the_first_by_index_are_live_first_even_if_others_report_sooner():
    director = Director(ROTATE_S)
    assert live(director, idle(4), 1, 0.0) == set()
    assert live(director, idle(0, 4), 1, 1.0) == {0}


def test_a_place_whose_worker_does_not_report_goes_to_another():
    director = Director(ROTATE_S)
    assert live(director, idle(4), 1, 0.0) == set()
    assert live(director, idle(4), 1, SETTLE_S) == {4}


def test_places_rotate_and_every_worker_gets_a_turn():
    director = Director(ROTATE_S)
    shown = [live(director, idle(*range(5)), 2, turn * ROTATE_S) for turn in range(6)]
    assert shown == [{0, 1}, {2, 3}, {0, 4}, {1, 2}, {0, 3}, {1, 4}]


def test_when_one_of_six_waits_each_waits_for_one_turn():
    director = Director(ROTATE_S)
    waiting = []
    for now in range(0, 360, 5):
        shown = live(director, idle(*range(6)), 5, float(now))
        waiting += [index for index in range(6) if index not in shown]
    assert waiting == [i for index in (5, 0, 1, 2, 3, 4) for i in [index] * 12]


def test_nothing_rotates_when_all_are_live():
    director = Director(ROTATE_S)
    for turn in range(4):
        assert live(director, idle(0, 1), 2, turn * ROTATE_S) == {0, 1}


def test_an_opened_worker_gets_the_place_of_an_unwatched_one_at_once():
    director = Director(ROTATE_S)
    live(director, idle(0, 1, 2), 1, 0.0)
    assert live(director, [*idle(0, 1), Candidate(2, watched=True)], 1, 10.0) == {2}


def test_a_watched_worker_never_loses_its_place():
    director = Director(ROTATE_S)
    watched = [Candidate(0, watched=True), Candidate(1, watched=True)]
    for now in range(0, 600, 5):
        assert live(director, watched, 1, float(now)) == {0}


def test_reloading_the_page_does_not_cost_the_place():
    director = Director(ROTATE_S)
    watched = [Candidate(0, watched=True), Candidate(1)]
    for now in range(70):
        live(director, watched, 1, float(now))
    assert live(director, idle(0, 1), 1, 69.0 + VIEWER_GRACE_S) == {0}
    assert live(director, idle(0, 1), 1, 69.1 + VIEWER_GRACE_S) == {1}


def seen(index: int) -> Candidate:
    return Candidate(index, watched=True, live=True)


def test_viewers_of_a_killed_worker_get_it_back_when_it_is_back():
    director = Director(ROTATE_S)
    live(director, [*idle(1), seen(0)], 1, 0.0)
    assert live(director, [*idle(1), seen(0)], 1, 10.0) == {0}
    assert live(director, idle(1), 1, 11.0) == {1}, "it is dead"
    assert live(director, idle(0, 1), 1, 11.0 + MIN_LIVE_S) == {0}, "its players are still away"
    assert live(director, [*idle(1), seen(0)], 1, 30.0) == {0}
    for now in range(31, 131):
        live(director, [*idle(1), seen(0)], 1, float(now))
    assert live(director, [*idle(1), Candidate(0, live=True)], 1, 130.1 + VIEWER_GRACE_S) == {1}


def test_a_claim_after_a_break_ends():
    director = Director(ROTATE_S)
    live(director, [*idle(1), seen(0)], 1, 0.0)
    live(director, [*idle(1), seen(0)], 1, 100.0)
    broken = [Candidate(0, preparing=True), Candidate(1)]
    assert live(director, broken, 1, 101.0) == {0}
    assert live(director, broken, 1, 101.0 + CLAIM_S) == {0}
    assert live(director, broken, 1, 101.1 + CLAIM_S) == {1}


def test_one_who_left_before_there_was_a_stream_has_no_claim():
    director = Director(ROTATE_S)
    live(director, idle(0, 1), 1, 0.0)
    assert live(director, [Candidate(0), Candidate(1, watched=True)], 1, 10.0) == {1}
    assert live(director, [Candidate(0), Candidate(1, preparing=True)], 1, 11.0) == {1}
    late = 11.0 + VIEWER_GRACE_S + ROTATE_S
    assert live(director, idle(0, 1), 1, late) == {0}


def test_the_worker_opened_first_comes_first():
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


def test_fewer_sessions_end_the_newest_place_and_none_at_all_ends_all():
    director = Director(ROTATE_S)
    live(director, idle(0, 1), 2, 0.0)
    assert live(director, idle(0, 1), 1, 1.0) == {0}
    decided = director.decide(idle(0, 1), capacity_of(0), 2.0)
    assert decided[0].reason == "no encoder session is available here"
    assert {each.desired for each in decided.values()} == {DesiredState.STANDBY}


def test_the_reason_for_standby_names_the_holders_and_the_next_turn():
    director = Director(ROTATE_S)
    decided = director.decide(idle(0, 1, 2), capacity_of(1), 0.0)
    assert decided[1].reason == "the encoder session is in use (omega-0); next turn in 60 s"
    assert decided[2].reason == "the encoder session is in use (omega-0); next turn in 120 s"
    both = Director(ROTATE_S).decide(idle(0, 1, 2), capacity_of(2), 0.0)
    assert both[2].reason == (
        "both encoder sessions are in use (omega-0, omega-1); next turn in 60 s"
    )
    three = Director(ROTATE_S).decide(idle(0, 1, 2, 3), capacity_of(3), 0.0)
    assert three[3].reason.startswith("all 3 encoder sessions are in use (omega-0, omega-1, ")


def test_the_reason_for_standby_tells_of_viewers_and_of_workers_still_starting():
    watched = [Candidate(0, watched=True), Candidate(1)]
    decided = Director(ROTATE_S).decide(watched, capacity_of(1), 0.0)
    assert decided[1].reason == (
        "the encoder session is in use (omega-0) and watched; "
        "the next turn comes when a viewer leaves"
    )
    decided = Director(ROTATE_S).decide(idle(4), capacity_of(1), 0.0)
    assert decided[4].reason == (
        "the encoder session is reserved for workers that are still starting"
    )


def test_the_workers_of_each_gpu_rotate_among_themselves():
    director = Director(ROTATE_S)
    shown = [live(director, idle(*range(6)), TWO_GPUS, turn * ROTATE_S) for turn in range(4)]
    assert shown == [{0, 1}, {2, 3}, {4, 5}, {0, 1}]


def test_a_gpus_session_stays_unused_rather_than_go_to_a_worker_of_another_gpu():
    director = Director(ROTATE_S)
    for now in (0.0, SETTLE_S):
        assert live(director, idle(0, 2, 4), TWO_GPUS, now) == {0}
    assert live(director, idle(0, 2, 4, 5), TWO_GPUS, SETTLE_S + 1) == {0, 5}


def test_at_the_start_places_are_held_for_the_first_workers_of_each_gpu():
    director = Director(ROTATE_S)
    assert live(director, idle(2, 3), TWO_GPUS, 0.0) == set()
    assert live(director, idle(1, 2, 3), TWO_GPUS, 1.0) == {1}
    assert live(director, idle(0, 1, 2, 3), TWO_GPUS, 2.0) == {0, 1}


def test_an_opened_worker_takes_the_place_of_one_on_its_own_gpu():
    director = Director(ROTATE_S)
    live(director, idle(0, 1, 2, 3), TWO_GPUS, 0.0)
    opened = [*idle(0, 1, 2), Candidate(3, watched=True)]
    assert live(director, opened, TWO_GPUS, MIN_LIVE_S) == {0, 3}


def test_watched_workers_beyond_the_limit_of_one_gpu_cost_another_nothing():
    director = Director(ROTATE_S)
    both = Capacity(gpus=TWO_GPUS.gpus, nvenc={"nvenc-gpu0": 2, "nvenc-gpu1": 1})
    watched = [Candidate(0, watched=True), Candidate(1), Candidate(2, watched=True)]
    assert live(director, watched, both, 0.0) == {0, 1, 2}
    assert live(director, watched, TWO_GPUS, 1.0) == {0, 1, 2}
    assert live(director, watched[:1] + watched[2:], TWO_GPUS, 2.0) == {0, 2}
    assert live(director, [*watched, Candidate(3)], TWO_GPUS, SETTLE_S) == {0, 2, 3}


def test_software_sessions_go_to_any_waiting_worker():
    director = Director(ROTATE_S)
    overflow = replace(TWO_GPUS, cpu=1, cpu_fallback=True)
    assert live(director, idle(*range(6)), overflow, SETTLE_S) == {0, 1, 2}
    assert live(director, idle(*range(6)), overflow, SETTLE_S + ROTATE_S) == {3, 4, 5}


def test_the_reason_for_standby_names_the_pool_where_there_are_several():
    director = Director(ROTATE_S)
    decided = director.decide(idle(*range(5)), TWO_GPUS, 0.0)
    in_use = "the nvenc-gpu0 encoder session is in use (omega-0)"
    assert decided[2].reason == f"{in_use}; next turn in 60 s"
    assert decided[4].reason == f"{in_use}; next turn in 120 s"
    assert decided[3].reason == (
        "the nvenc-gpu1 encoder session is in use (omega-1); next turn in 60 s"
    )
    taken = replace(TWO_GPUS, nvenc={"nvenc-gpu0": 0, "nvenc-gpu1": 1})
    decided = director.decide(idle(*range(4)), taken, 1.0)
    assert decided[0].reason == "no encoder session is available in pool nvenc-gpu0"


def test_the_next_worker_is_the_one_that_gets_a_place_soonest():
    director = Director(ROTATE_S)
    live(director, idle(0), TWO_GPUS, 0.0)
    live(director, idle(0, 1, 3), TWO_GPUS, 10.0)
    schedule = director.schedule(idle(0, 1, 2, 3), 20.0)
    assert (schedule.live, schedule.next, schedule.next_in_s) == ((0, 1), 2, 40.0)


def test_64_guests_take_turns_on_two_sessions_and_are_named():
    director = Director(ROTATE_S)
    guests = [Candidate(index, name=f"CartPole-v1-{index}") for index in range(64)]
    shown = [live(director, guests, 2, turn * ROTATE_S) for turn in range(32)]
    assert all(len(places) == 2 for places in shown)
    assert set().union(*shown) == set(range(64))
    decided = director.decide(guests, capacity_of(2), 31 * ROTATE_S)
    reason = decided[0].reason
    assert reason.startswith("both encoder sessions are in use (CartPole-v1-62, CartPole-v1-63)")


def test_hundreds_of_workers_are_decided_on_in_a_moment():
    director = Director(ROTATE_S)
    many = idle(*range(512))
    live(director, many, 2, 0.0)
    began = time.perf_counter()
    live(director, many, 2, 1.0)
    director.schedule(many, 1.0)
    # In proportion to their square, as it was once, it would take two seconds.
    assert time.perf_counter() - began < 0.3 * slowness()


def test_a_guest_with_the_index_of_one_that_left_starts_afresh():
    director = Director(ROTATE_S)
    assert live(director, idle(0, 1), 1, 0.0) == {0}
    assert live(director, idle(0, 1), 1, ROTATE_S) == {1}
    director.forget(0)
    # It has never been live, so it doesn't wait for a worker's turn to end after ``ROTATE_S``.
    assert live(director, [*idle(1), Candidate(0, name="new")], 1, 2 * ROTATE_S) == {0}
    director.forget(0)
    assert director.schedule(idle(1), 2 * ROTATE_S).live == ()


def test_candidates_are_the_workers_that_may_stream():
    statuses = [
        status(0, stream_dedicated_clients=1, stream_active_clients=1),
        status(1, stream_active_clients=3),
        status(2, stream_enabled=False),
        status(3, stream_state=StreamState.ERROR),
        status(4, stream_state=StreamState.STARTING),
        status(5, stream_state=StreamState.LIVE),
    ]
    seats = {each.instance_id: each.worker_index for each in statuses}
    assert candidates_of(statuses, seats) == [
        Candidate(0, watched=True, name="omega-0"),
        Candidate(1, name="omega-1"),
        Candidate(3, failing=True, name="omega-3"),
        Candidate(4, preparing=True, name="omega-4"),
        Candidate(5, live=True, name="omega-5"),
    ]


@dataclass(frozen=True)
class Moment:
    """One call: seconds since the last one, workers present, sessions available."""

    wait: float
    candidates: tuple[Candidate, ...]
    capacity: Capacity


candidate = st.builds(Candidate, st.integers(0, 6), watched=st.booleans(), failing=st.booleans())
shared = st.builds(capacity_of, st.integers(0, 5))
sessions = st.integers(0, 2)
divided = st.builds(
    Capacity,
    gpus=st.permutations(["a", "b", None]).map(tuple),
    nvenc=st.fixed_dictionaries({"a": sessions, "b": sessions}),
    va=sessions,
    cpu=sessions,
    cpu_fallback=st.booleans(),
)


def moments(capacities: st.SearchStrategy[Capacity]) -> st.SearchStrategy[list[Moment]]:
    waits = st.sampled_from([0.0, 0.5, 1.0, 4.0, 10.0, 61.0])
    candidates = st.lists(candidate, max_size=7, unique_by=lambda c: c.index).map(tuple)
    return st.lists(st.builds(Moment, waits, candidates, capacities), max_size=40)


# The assignment of GPUs to workers is fixed while a fleet runs; the number of sessions isn't.
histories = moments(shared) | divided.flatmap(
    lambda first: moments(divided.map(lambda now: replace(now, gpus=first.gpus)))
)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_over_any_history_the_rules_hold(history: list[Moment]):
    director, now = Director(ROTATE_S), 0.0
    first_seen: float | None = None
    before: set[int] = set()
    live_since: dict[int, float] = {}
    watched_at: dict[int, float] = {}
    for at in history:
        now += at.wait
        present = {c.index for c in at.candidates}
        watched = {c.index for c in at.candidates if c.watched}
        watched_at.update(dict.fromkeys(watched, now))
        if present and first_seen is None:
            first_seen = now
        chosen = live(director, list(at.candidates), at.capacity, now)

        kept = {i for i in chosen if now - watched_at.get(i, -1e9) <= VIEWER_GRACE_S}
        short = at.capacity.shortage(chosen)
        assert short <= at.capacity.shortage(kept), "an unwatched worker exceeds the limit"
        assert short == 0 or short <= at.capacity.shortage(before & chosen), (
            "the limit was exceeded further"
        )
        assert before & watched <= chosen, "a watched worker lost its place"
        if first_seen is not None and now - first_seen >= SETTLE_S:
            idle_sessions = [i for i in present - chosen if at.capacity.has_room(chosen, i)]
            assert not idle_sessions, "a session is unused"
        if at.capacity.shortage(before) == 0:
            for lost in (before & present) - chosen:
                assert now - live_since[lost] >= MIN_LIVE_S, "it flapped"
        for waiting in watched - chosen:
            free_for_viewers = {
                i
                for i in chosen
                if i in before
                and i not in kept
                and now - live_since[i] >= MIN_LIVE_S
                and at.capacity.may_replace(chosen, i, waiting)
            }
            assert not free_for_viewers, "a viewer waits although an unwatched worker is live"
        assert live(director, list(at.candidates), at.capacity, now) == chosen, (
            "a second call changes the result"
        )

        for index in chosen - before:
            live_since[index] = now
        before = chosen


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_every_worker_is_live_once_within_the_fewest_possible_rounds(workers: int, capacity: int):
    director, shown = Director(ROTATE_S), set()
    rounds = -(-workers // capacity)
    for turn in range(rounds):
        shown |= live(director, idle(*range(workers)), capacity, turn * ROTATE_S)
    assert shown == set(range(workers))
