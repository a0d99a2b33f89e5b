"""GStreamer's NVENC in a fleet, on a simulated NVIDIA driver with Debian's GStreamer."""

from pathlib import Path

import psutil
import pytest

from metabonk.messages import StreamState
from tests.integration.test_sessions import ROTATE_S, answers, fleet_on, live, logs
from tests.support.fleet import FleetUnderTest
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)

WORKERS, SESSIONS = 6, 3
HANDOVERS = 20

GST = "gst:appsrc:nvh264enc"


def descriptors(fleet: FleetUnderTest) -> dict[int, int]:
    return {process.pid: process.num_fds() for process in workers_of(fleet)}


def workers_of(fleet: FleetUnderTest) -> list[psutil.Process]:
    return [process for process in fleet.tree() if "--index" in process.cmdline()]


def test_no_open_is_refused_in_twenty_handovers(tmp_path: Path):
    require_gstreamer()
    driver = SimulatedDriver(tmp_path / "driver", cap=SESSIONS)
    settings = {"NVENC_MAX_SESSIONS": SESSIONS, "STREAM_ENGINE": "gst"}
    with fleet_on(driver, tmp_path, WORKERS, **settings, FEATURED_ROTATE_S=ROTATE_S) as fleet:
        until("every session is used", lambda: len(live(fleet)) == SESSIONS, 90)
        expected = [200] * SESSIONS + [503] * (WORKERS - SESSIONS)
        until("as many workers stream", lambda: answers(fleet, WORKERS) == expected, 20)
        backends = {status.stream_backend for status in fleet.in_state(StreamState.LIVE)}
        assert backends == {GST}

        def handed_over(times: int) -> bool:
            return logs(fleet, WORKERS).count("Acquired NVENC session") >= SESSIONS + times

        until("every worker has had a session twice", lambda: handed_over(9), 120)
        before = descriptors(fleet)
        until("twenty were handed over", lambda: handed_over(HANDOVERS), 240)
        assert len(before) == WORKERS
        until(
            "no worker holds more descriptors than before",
            lambda: all(held <= before[pid] + 2 for pid, held in descriptors(fleet).items()),
            30,
        )
    output = logs(fleet, WORKERS)
    assert driver.events("refused") == []
    assert driver.most_open() == SESSIONS
    assert "OpenEncodeSessionEx failed" not in output
    assert output.count("Acquired NVENC session") == output.count("Released NVENC session")


def test_software_substitutes_for_a_gpu_without_an_encoder_and_the_rung_gives_the_reason(
    tmp_path: Path,
):
    require_gstreamer()
    driver = SimulatedDriver(
        tmp_path / "driver", name="NVIDIA H200", brand=14, open_code=UNSUPPORTED_DEVICE
    )
    with fleet_on(driver, tmp_path, 1, STREAM_ENGINE="any") as fleet:
        until("it is live", lambda: live(fleet), 90)
        assert fleet.statuses()["omega-0"].stream_backend == "av:libx264"
        status = fleet.command("nvenc", "status", "--workers", "1").stdout
    assert f"Encoder {GST}: out: GStreamer finds no nvcudah264enc" in status
    assert "its plugin could open no NVENC session (code 2)" in status
