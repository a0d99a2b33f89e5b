"""A fleet on the IPv6 loopback address, from the printed address to the last check."""

import re
from pathlib import Path

import pytest
from websockets.sync.client import connect

from metabonk.messages.fleet import Fleet
from tests.support import http
from tests.support.fleet import run_gameless_fleet
from tests.support.waiting import GENEROUS_S, until

pytestmark = pytest.mark.timeout(240)


def test_a_fleet_on_ipv6_is_served_watched_checked_and_stopped(tmp_path: Path):
    # Without a browser, for whose sake the address would make no difference.
    environment = {
        "PATH": str(tmp_path),
        # Cheap, so that a busy machine keeps up and the checks pass.
        "METABONK_STREAM_WIDTH": "256",
        "METABONK_STREAM_HEIGHT": "144",
        "METABONK_STREAM_FPS": "15",
    }
    arguments = ("--workers", "1", "--host", "::1")
    with run_gameless_fleet(tmp_path, *arguments, environment=environment) as fleet:
        ports = {name: fleet.environment[f"METABONK_PORTS_{name}"] for name in ("PAGE", "WORKER")}
        page = f"http://[::1]:{ports['PAGE']}"

        def has_video() -> bool:
            state = Fleet.model_validate_json(http.get(f"{page}/api/fleet").content)
            return any(status.frames_ok > 0 for status in state.workers.values())

        until("a frame is encoded", has_video, 90)
        assert re.findall(r"^page: (\S+)$", fleet.output.read_text(), re.M) == [page]
        status = http.get(f"{page}/api/worker/omega-0/status").json()
        assert status["stream_url"] == f"http://[::1]:{ports['WORKER']}/stream.mp4"
        stream = f"{page}/api/worker/omega-0/stream".replace("http", "ws", 1)
        with connect(stream, proxy=None, origin=page) as viewer:
            assert "policy" in viewer.recv(timeout=GENEROUS_S)
        until("all checks pass", lambda: fleet.command("validate").returncode == 0, 90)
        assert fleet.command("stop").returncode == 0
        assert fleet.process.wait(GENEROUS_S) == 0
