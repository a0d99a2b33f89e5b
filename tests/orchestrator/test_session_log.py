"""Who has a session, as ``logs/orchestrator.log`` tells it."""

import logging

import pytest

from metabonk.messages import StreamState
from metabonk.orchestrator.session_log import SessionLog
from tests.orchestrator.statuses import status

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
    sessions = SessionLog()
    for changed in (NVENC, NVENC, {}, {}):
        sessions.heard(status(0, **changed), None)
    assert said.messages == [
        "Acquired NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
        "Released NVENC session worker=omega-0 slot=1 gpu=0 backend=av:h264_nvenc",
    ]


def test_another_encoder_is_another_session(said: pytest.LogCaptureFixture):
    sessions = SessionLog()
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
    sessions = SessionLog()
    for changed, refusal in ({}, WAITS), ({}, WAITS), (NVENC, None), ({}, WAITS):
        sessions.heard(status(2, **changed), refusal)
    limits = [record for record in said.records if "Session limit reached" in record.message]
    assert [record.levelno for record in limits] == [logging.INFO] * 2
    assert limits[0].message == f"Session limit reached worker=omega-2: {WAITS}"


def test_a_worker_that_dies_has_let_go_of_its_session(said: pytest.LogCaptureFixture):
    sessions = SessionLog()
    sessions.heard(status(0, **NVENC), None)
    sessions.died("omega-0")
    sessions.died("learner")
    assert said.messages[-1].startswith("Released NVENC session worker=omega-0")
    assert said.messages[-1].endswith("(it died)")
