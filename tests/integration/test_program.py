"""The program of a real fleet: rotations and a killed worker are cuts, and nothing ends."""

import os
import signal
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.processes import with_word
from tests.support.recording import MAX_GAP_S, Recording, frames_of, times_of
from tests.support.waiting import GENEROUS_S, until

pytestmark = pytest.mark.timeout(180)

ENVIRONMENT = {
    "METABONK_FEATURED_ROTATE_S": "5",
    "METABONK_CPU_MAX_SESSIONS": "1",
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "15",
}


def cuts(fleet: FleetUnderTest) -> int:
    return fleet.log("program").count("shows omega-")


def test_the_program_goes_on_through_rotations_and_a_killed_worker(tmp_path: Path):
    with run_gameless_fleet(tmp_path, "--workers", "2", environment=ENVIRONMENT) as fleet:
        fleet.first_in(StreamState.LIVE)
        assert "program" not in {each.name for each in (tmp_path / "logs").iterdir()}
        with (
            httpx.Client(base_url=fleet.page, timeout=GENEROUS_S, trust_env=False) as client,
            Recording(client, "/program.ts") as recording,
        ):
            until("a rotation", lambda: cuts(fleet) >= 2, 30)
            shown = fleet.first_in(StreamState.LIVE)
            os.kill(shown.pid, signal.SIGKILL)
            until("another one is shown", lambda: cuts(fleet) >= 3, 30)
            recording.wait_for_more(1.0)
            # go2rtc reads it from the port without a token.
            with httpx.stream("GET", f"{fleet.orchestrator}/program.ts", trust_env=False) as same:
                assert next(same.iter_raw())[0] == 0x47
            assert http.post(f"{fleet.page}/whep?worker=program").status_code == 415
        (program,) = with_word(fleet.tree(), "program")
        until("it is off", lambda: "off: nobody watches" in fleet.log("program"), 30)
        fleet.stop()
        assert not program.is_running()
    data = bytes(recording.data)
    times = times_of(data)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert max(later - earlier for earlier, later in pairwise(times)) < MAX_GAP_S
    assert {(frame.width, frame.height) for frame in frames_of(data)} == {(256, 144)}
