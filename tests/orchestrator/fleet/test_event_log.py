import logging
from typing import Any

import pytest

from metabonk.messages.feed import EventKind, FleetEvent
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.event_log import MAX_EVENTS, MIN_EPISODES, EventLog
from tests.support.statuses import episode, guest_status, status

LIVE, STANDBY = StreamState.LIVE, StreamState.STANDBY
IN_USE = "both encoder sessions are in use (omega-0, omega-1); next turn in 40 s"

SOFTWARE = {"stream_state": LIVE, "stream_backend": "av:libx264"}
NVENC: dict[str, Any] = {
    "stream_state": LIVE,
    "stream_backend": "av:h264_nvenc",
    "gpu_index": 0,
    "nvenc_slot": 1,
}


def kinds(events: list[FleetEvent]) -> list[EventKind]:
    return [event.kind for event in events]


def test_a_change_is_an_event_and_a_repetition_is_none():
    log = EventLog(lambda: 12.0)
    for state in (STANDBY, STANDBY, StreamState.STARTING, LIVE, LIVE, STANDBY):
        reported = status(0, stream_state=state, stream_backend="av:libx264")
        log.on_status(reported, "its turn is over")
    first, live, standby = log.since(0)
    assert kinds([first, live, standby]) == [
        EventKind.REGISTERED,
        EventKind.LIVE,
        EventKind.STANDBY,
    ]
    assert (first.id, live.id, standby.id) == (1, 2, 3)
    assert live.message == "omega-0 is live through av:libx264"
    assert standby.message == "omega-0 trains without a stream: its turn is over"
    assert first.at == 12.0


def test_a_death_and_a_restart_are_events():
    log = EventLog()
    log.on_status(status(0, pid=1), "")
    log.on_exit("omega-0", "omega-0 was killed by SIGKILL")
    log.on_status(status(0, pid=2), "")
    assert kinds(log.since(0)) == [EventKind.REGISTERED, EventKind.DIED, EventKind.RESTARTED]


def test_a_guests_arrival_and_departure_are_events():
    log = EventLog()
    log.on_status(guest_status(2, "mine", stream_state=LIVE), "")
    log.on_status(guest_status(2, "mine", stream_state=STANDBY), "its turn is over")
    log.on_left("mine")
    log.on_left("never-reported")
    messages = {event.kind: event.message for event in log.since(0)}
    assert messages[EventKind.REGISTERED] == "mine is broadcast by process 4711"
    assert messages[EventKind.STANDBY] == "mine goes on without a stream: its turn is over"
    assert messages[EventKind.LEFT] == "mine is no longer broadcast"
    assert len(log.since(0)) == 4
    log.on_status(guest_status(2, "mine"), "")
    assert log.since(0)[-1].kind is EventKind.REGISTERED


def test_a_best_return_is_announced_once_there_is_something_to_compare_with():
    log = EventLog()
    log.on_episodes([episode(number, reward=float(number)) for number in range(MIN_EPISODES)])
    assert log.since(0) == []
    log.on_episodes(
        [episode(90, reward=3.0), episode(91, 1, reward=99.0), episode(92, reward=98.0)]
    )
    (best,) = log.since(0)
    assert (best.kind, best.instance_id) == (EventKind.BEST_RETURN, "omega-1")
    assert "99.0" in best.message


def test_only_the_newest_events_are_kept_and_ids_continue():
    log = EventLog()
    for number in range(MAX_EVENTS + 50):
        log.on_exit("learner", f"death {number}")
    assert len(log.since(0)) == MAX_EVENTS
    assert log.last_id == MAX_EVENTS + 50
    assert [event.message for event in log.since(MAX_EVENTS + 48)] == ["death 248", "death 249"]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_a_session_is_logged_once_with_slot_gpu_and_worker(logged: pytest.LogCaptureFixture):
    log = EventLog()
    for changed in (NVENC, NVENC, {}, {}):
        log.on_status(status(0, **changed), "")
    assert logged.messages == [
        "Acquired NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
        "Released NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
    ]


def test_another_encoder_is_another_session(logged: pytest.LogCaptureFixture):
    log = EventLog()
    log.on_status(status(0, **NVENC), "")
    log.on_status(status(0, **SOFTWARE), "")
    assert [line.split(" worker")[0] for line in logged.messages] == [
        "Acquired NVENC session",
        "Released NVENC session",
        "Acquired CPU session",
    ]


def test_a_worker_refused_for_the_limit_is_logged_once_each_time_and_at_info(
    logged: pytest.LogCaptureFixture,
):
    log = EventLog()
    for changed, refused in ({}, True), ({}, True), (NVENC, False), ({}, True):
        log.on_status(status(2, **changed), IN_USE, refused=refused)
    limits = [record for record in logged.records if "Session limit reached" in record.message]
    assert [record.levelno for record in limits] == [logging.INFO] * 2
    assert limits[0].message == f"Session limit reached worker=omega-2: {IN_USE}"


def test_standby_without_a_refusal_is_no_session_limit(logged: pytest.LogCaptureFixture):
    EventLog().on_status(status(2), "streaming is switched off")
    assert logged.messages == []


def test_a_worker_that_dies_has_released_its_session(logged: pytest.LogCaptureFixture):
    log = EventLog()
    log.on_status(status(0, **NVENC), "")
    log.on_exit("omega-0", "omega-0 was killed by SIGKILL")
    log.on_exit("learner", "learner was killed by SIGKILL")
    assert logged.messages[-1].startswith("Released NVENC session worker=omega-0")
    assert logged.messages[-1].endswith("(it died)")
