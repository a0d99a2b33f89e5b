"""Who is shown in the program, and in which order."""

from typing import Any

from metabonk.messages.fleet import Featured
from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.orchestrator.program.process import in_order
from tests.support.statuses import status

LIVE, STARTING, STANDBY, ERROR = (
    StreamState.LIVE,
    StreamState.STARTING,
    StreamState.STANDBY,
    StreamState.ERROR,
)


def workers(*states: StreamState) -> dict[str, WorkerStatus]:
    return {
        f"omega-{index}": status(index, stream_state=state) for index, state in enumerate(states)
    }


def order(
    live: list[int], states: tuple[StreamState, ...], pin: str | None = None, **more: Any
) -> list[int]:
    featured = Featured(
        live=[f"omega-{index}" for index in live],
        rotate_s=60.0,
        **{"next": "omega-2", "next_in_s": 3.0, **more},
    )
    names = in_order(featured, workers(*states), pin, now=more.get("now", 0.0))
    return [int(name.removeprefix("omega-")) for name in names]


def test_the_newest_choice_of_the_director_comes_first_as_it_stays_longest():
    assert order([0, 1], (LIVE, LIVE, STANDBY)) == [1, 0]


def test_a_successor_comes_first_before_it_is_live_and_the_one_before_after_it():
    assert order([1], (LIVE, STARTING, STANDBY)) == [1, 0]


def test_one_that_can_not_encode_is_passed_over():
    assert order([1], (LIVE, ERROR, STANDBY)) == [0]


def test_those_who_keep_their_places_take_turns():
    states = (LIVE, LIVE)
    featured = {"next": None, "next_in_s": None}
    assert order([0, 1], states, **featured)[0] == 0
    names = in_order(
        Featured(live=["omega-0", "omega-1"], rotate_s=60.0, **featured),
        workers(*states),
        None,
        now=60.0,
    )
    assert names == ["omega-1", "omega-0"]


def test_a_pinned_worker_comes_first_also_before_it_has_a_place():
    assert order([0, 1], (LIVE, LIVE, STANDBY), pin="omega-2") == [2, 1, 0]
    assert order([0, 1], (LIVE, LIVE, STANDBY), pin="omega-7") == [1, 0]
