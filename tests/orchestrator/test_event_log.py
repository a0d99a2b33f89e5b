"""What is worth telling people who watch, once each."""

import logging

import pytest

from metabonk.messages import EventKind, StreamState
from metabonk.orchestrator.event_log import FIRST_EPISODES, KEPT, EventLog, SessionEventLog
from tests.support.statuses import episode, status

LIVE, STANDBY = StreamState.LIVE, StreamState.STANDBY


def kinds(journal: EventLog) -> list[EventKind]:
    return [event.kind for event in journal.since(0)]


def test_changes_are_told_and_repetitions_are_not():
    journal = EventLog(lambda: 12.0)
    for state in (STANDBY, STANDBY, StreamState.STARTING, LIVE, LIVE, STANDBY):
        said = status(0, stream_state=state, stream_backend="av:libx264")
        journal.heard(said, "its turn is over")
    assert kinds(journal) == [EventKind.REGISTERED, EventKind.LIVE, EventKind.STANDBY]
    first, live, standby = journal.since(0)
    assert (first.id, live.id, standby.id) == (1, 2, 3)
    assert live.message == "omega-0 is live through av:libx264"
    assert "its turn is over" in standby.message
    assert first.at == 12.0


def test_a_death_and_the_return():
    journal = EventLog()
    journal.heard(status(0, pid=1), "")
    journal.died("omega-0", "omega-0 was killed by SIGKILL")
    journal.heard(status(0, pid=2), "")
    assert kinds(journal) == [EventKind.REGISTERED, EventKind.DIED, EventKind.RESTARTED]


def test_the_best_return_is_told_once_there_is_something_to_compare_with():
    journal = EventLog()
    journal.finished([episode(number, reward=float(number)) for number in range(FIRST_EPISODES)])
    assert kinds(journal) == []
    later = [episode(90, reward=3.0), episode(91, 1, reward=99.0), episode(92, reward=98.0)]
    journal.finished(later)
    (best,) = journal.since(0)
    assert (best.kind, best.instance_id) == (EventKind.BEST_RETURN, "omega-1")
    assert "99.0" in best.message


def test_only_the_last_ones_are_kept_and_numbers_go_on():
    journal = EventLog()
    for number in range(KEPT + 50):
        journal.died("learner", f"death {number}")
    assert len(journal.since(0)) == KEPT
    assert journal.last_id == KEPT + 50
    assert [event.message for event in journal.since(KEPT + 48)] == ["death 248", "death 249"]


LIVE = {"stream_state": StreamState.LIVE, "gpu_index": 0, "nvenc_slot": 1}
NVENC = {**LIVE, "stream_backend": "av:h264_nvenc"}
WAITS = "all 2 encoder sessions went to omega-0, omega-1; its turn comes in 40 s"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_a_session_is_acquired_and_released_once_with_slot_gpu_and_worker(
    said: pytest.LogCaptureFixture,
):
    sessions = SessionEventLog()
    for changed in (NVENC, NVENC, {}, {}):
        sessions.heard(status(0, **changed), None)
    assert said.messages == [
        "Acquired NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
        "Released NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
    ]


def test_another_encoder_is_another_session(said: pytest.LogCaptureFixture):
    sessions = SessionEventLog()
    sessions.heard(status(0, **NVENC), None)
    software = {"stream_state": StreamState.LIVE, "stream_backend": "av:libx264"}
    sessions.heard(status(0, **software), None)
    assert [line.split(" worker")[0] for line in said.messages] == [
        "Acquired NVENC session",
        "Released NVENC session",
        "Acquired CPU session",
    ]


def test_who_waits_for_a_session_is_told_once_each_time_and_at_info(
    said: pytest.LogCaptureFixture,
):
    sessions = SessionEventLog()
    for changed, refusal in ({}, WAITS), ({}, WAITS), (NVENC, None), ({}, WAITS):
        sessions.heard(status(2, **changed), refusal)
    limits = [record for record in said.records if "Session limit reached" in record.message]
    assert [record.levelno for record in limits] == [logging.INFO] * 2
    assert limits[0].message == f"Session limit reached worker=omega-2: {WAITS}"


def test_a_worker_that_dies_has_let_go_of_its_session(said: pytest.LogCaptureFixture):
    sessions = SessionEventLog()
    sessions.heard(status(0, **NVENC), None)
    sessions.died("omega-0")
    sessions.died("learner")
    assert said.messages[-1].startswith("Released NVENC session worker=omega-0")
    assert said.messages[-1].endswith("(it died)")
