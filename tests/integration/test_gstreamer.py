"""GStreamer's NVENC in real fleets, on a simulated NVIDIA driver with Debian's GStreamer."""

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

HANDOVERS = 20

GST = "gst:appsrc:nvh264enc"


def descriptors(fleet: FleetUnderTest) -> dict[int, int]:
    return {process.pid: process.num_fds() for process in workers_of(fleet)}


def workers_of(fleet: FleetUnderTest) -> list[psutil.Process]:
    return [process for process in fleet.tree() if "--index" in process.cmdline()]


def test_workers_hand_over_two_sessions_twenty_times_and_no_open_is_refused(tmp_path: Path):
    require_gstreamer()
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    settings = {"NVENC_MAX_SESSIONS": 2, "STREAM_ENGINE": "gst", "FEATURED_ROTATE_S": ROTATE_S}
    with fleet_on(driver, tmp_path, 3, **settings) as fleet:
        until("two are live", lambda: len(live(fleet)) == 2, 90)
        until("200 and 503", lambda: answers(fleet, 3) == [200, 200, 503], 20)
        backends = {status.stream_backend for status in fleet.in_state(StreamState.LIVE)}
        assert backends == {GST}
        first = live(fleet)
        until("another one's turn", lambda: live(fleet) - first, 60)

        def handed_over(times: int) -> bool:
            return logs(fleet, 3).count("Acquired NVENC session") >= 2 + times

        until("everybody has had a session", lambda: handed_over(6), 120)
        before = descriptors(fleet)
        until("twenty have been handed over", lambda: handed_over(HANDOVERS), 240)
        assert len(before) == 3
        until(
            "no worker holds more than before",
            lambda: all(held <= before[pid] + 2 for pid, held in descriptors(fleet).items()),
            30,
        )
    said = logs(fleet, 3)
    assert driver.events("refused") == []
    assert driver.most_open() == 2
    assert "OpenEncodeSessionEx failed" not in said
    assert said.count("Acquired NVENC session") == said.count("Released NVENC session")


def test_where_the_gpu_has_no_encoder_software_takes_over_and_the_rung_says_why(tmp_path: Path):
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
