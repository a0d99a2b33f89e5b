"""Messages and what is derived from them."""

import pytest

from metabonk.messages.workers import (
    Counters,
    GuestStatus,
    Heartbeat,
    StreamState,
    WorkerKind,
    is_fleet_name,
    no_video,
)
from tests.support.statuses import episode, guest_status, status


def test_a_failed_encoder_is_a_problem_with_its_reason_and_an_action():
    problem = no_video(status(2, stream_state=StreamState.ERROR, stream_error="no driver"))
    assert problem.message == "omega-2 has no video: no driver"
    assert "docs/sessions.md" in problem.action


def test_counters_survive_formatting_and_parsing():
    counters = Counters(step=2**53 - 1, episode=7)
    assert Counters.parse(str(counters)) == counters


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "one,2", "1;2"])
def test_invalid_counters_are_rejected(text: str):
    with pytest.raises(ValueError):
        Counters.parse(text)


def test_names_of_a_fleets_workers_are_told_from_those_of_guests():
    assert is_fleet_name("omega-12")
    assert not any(map(is_fleet_name, ("omega-", "omega-1b", "CartPole-v1-0", "my-omega-1")))


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_id": "omega-2"},
        {"guest": None},
        {"kind": WorkerKind.FLEET},
        {"kind": WorkerKind.FLEET, "guest": None},
    ],
    ids=["a worker's name", "no guest", "no guest's kind", "a guest's name"],
)
def test_a_guest_is_not_taken_for_a_worker_of_the_fleet(changes: dict[str, object]):
    assert guest_status(2).guest == GuestStatus(trainer_pid=4711)
    with pytest.raises(ValueError):
        guest_status(2, **changes)


def test_a_worker_bears_the_name_of_its_index():
    with pytest.raises(ValueError, match="worker 2 must be named omega-2"):
        status(2, instance_id="omega-1")


def test_a_guest_reports_no_episodes_of_a_run():
    with pytest.raises(ValueError, match="belong to no run"):
        Heartbeat(status=guest_status(2), episodes=[episode(1, 2)])
