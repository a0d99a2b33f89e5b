"""On air from a real fleet, to a server that does not answer: FFmpeg then keeps Python's lock."""

import socket
import time
from pathlib import Path

import pytest

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import run_gameless_fleet
from tests.support.processes import command_lines, with_word
from tests.support.viewer import Spectator
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

KEY = "sesame-open"
REPLACED_WITHIN_S = 15.0
ENVIRONMENT = {
    "METABONK_AIR_KEY": KEY,
    "METABONK_CPU_MAX_SESSIONS": "1",
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "15",
}


def test_a_server_that_does_not_answer_is_given_up_and_touches_nothing_else(tmp_path: Path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        to = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live"
        with run_gameless_fleet(
            tmp_path, "--workers", "1", "--air", to, environment=ENVIRONMENT
        ) as fleet:
            shown = fleet.first_in(StreamState.LIVE)
            connection, _ = silent.accept()
            began = time.monotonic()
            with connection, Spectator(fleet.worker(shown.worker_index), keep=False) as spectator:
                until("it is watched", spectator.arrivals)
                replaced = "air was stopped because the server has not answered"
                until("it is replaced", lambda: replaced in fleet.log("orchestrator"), 60)
                assert time.monotonic() - began < REPLACED_WITHIN_S
                assert spectator.longest_gap(began + 2, time.monotonic()) < 1.0
            assert fleet.statuses()[shown.instance_id].pid == shown.pid
            metrics = http.get(f"{fleet.orchestrator}/metrics").text
            assert 'metabonk_restarts_total{process="omega-0"} 0.0' in metrics
            assert "metabonk_on_air 0.0" in metrics
            page = http.get(f"{fleet.page}/api/air")
            assert page.json()["to"] == to
            assert KEY not in metrics + page.text
            assert KEY not in str(command_lines(fleet.tree()))
            # Off, from the page.
            http.put(f"{fleet.page}/api/air", json={"on": False}).raise_for_status()
            until("it has ended", lambda: not with_word(fleet.tree(), "air"), 30)
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert not [file for file in files if KEY.encode() in file.read_bytes()]
