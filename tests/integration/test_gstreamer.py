"""GStreamer's NVENC in a fleet, on a simulated NVIDIA driver with Debian's GStreamer."""

from pathlib import Path

import psutil
import pytest

from metabonk.messages.workers import StreamState
from tests.integration.test_sessions import ROTATE_S, answers, fleet_on, live, logs
from tests.support.fleet import FleetUnderTest
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)

WORKERS, SESSIONS = 6, 3
HANDOVERS = 20

GST = "gst:appsrc:nvh264enc"


def note_descriptors(fleet: FleetUnderTest, fewest: dict[int, int]) -> None:
    """Note the fewest descriptors of each worker so far: those of one without a session."""
    for status in fleet.statuses().values():
        held = psutil.Process(status.pid).num_fds()
        fewest[status.pid] = min(held, fewest.get(status.pid, held))


def backends(fleet: FleetUnderTest) -> list[str]:
    return [status.stream_backend for status in fleet.in_state(StreamState.LIVE)]


def test_no_open_is_refused_in_twenty_handovers(tmp_path: Path):
    require_gstreamer()
    driver = SimulatedDriver(tmp_path / "driver", cap=SESSIONS)
    settings = {"NVENC_MAX_SESSIONS": SESSIONS, "STREAM_ENGINE": "gst"}
    with fleet_on(driver, tmp_path, WORKERS, **settings, FEATURED_ROTATE_S=ROTATE_S) as fleet:
        until("every session is used by GStreamer", lambda: backends(fleet) == [GST] * SESSIONS, 90)
        expected = [200] * SESSIONS + [503] * (WORKERS - SESSIONS)
        until("as many workers stream", lambda: answers(fleet, WORKERS) == expected, 60)

        def handed_over(times: int) -> bool:
            return logs(fleet, WORKERS).count("Acquired NVENC session") >= SESSIONS + times

        def handed_over_meanwhile(times: int, fewest: dict[int, int]) -> bool:
            note_descriptors(fleet, fewest)
            return handed_over(times)

        def holds_no_more(before: dict[int, int], after: dict[int, int]) -> bool:
            note_descriptors(fleet, after)
            return all(after[pid] <= held + 2 for pid, held in before.items())

        before: dict[int, int] = {}
        after: dict[int, int] = {}
        until("every worker has had a session twice", lambda: handed_over(9), 120)
        until("each has been without one", lambda: handed_over_meanwhile(15, before), 120)
        until("twenty were handed over", lambda: handed_over(HANDOVERS), 240)
        assert len(before) == WORKERS
        until("no worker holds more descriptors", lambda: holds_no_more(before, after), 60)
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
