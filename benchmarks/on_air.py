"""On air for minutes while the ingest server is killed again and again.

``python -m benchmarks.on_air [--minutes 6] [--kills 5] [--json FILE]`` starts a game-less fleet of
two workers that take turns, and FFmpeg as an RTMP server (``ffmpeg -listen 1``), which is killed at
equal intervals and started again. It prints how long it took to be on air again each time, what was
received, the longest gap between frames of a worker that is watched meanwhile, and the sender's
share of a core.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.serving import free_port
from tests.support.viewer import Spectator
from tests.support.waiting import until

from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

ENVIRONMENT = {
    "METABONK_CPU_MAX_SESSIONS": "1",
    "METABONK_STREAM_WIDTH": "640",
    "METABONK_STREAM_HEIGHT": "360",
    "METABONK_STREAM_FPS": "15",
    "METABONK_FEATURED_ROTATE_S": "20",
}
BACK_TIMEOUT_S = 60.0
POLL_S = 0.1


@contextmanager
def ingest(port: int, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an RTMP server for one publisher; on exit it is killed, as a power cut would."""
    listen = ("-f", "flv", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live")
    command = ("ffmpeg", "-v", "error", *listen, "-c", "copy", "-f", "mpegts", "-y", str(file))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()


def measure(minutes: float, kills: int) -> dict[str, Any]:
    """Run a fleet and its ingest servers; return the measurements."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        arguments = ("--workers", "2", "--air", f"rtmp://127.0.0.1:{port}/live")
        with run_gameless_fleet(here, *arguments, environment=ENVIRONMENT) as fleet:
            watched = fleet.first_in(StreamState.LIVE)
            before = {name: each.pid for name, each in fleet.statuses().items()}
            with Spectator(fleet.worker(watched.worker_index), keep=False) as spectator:
                began = time.monotonic()
                returns = [
                    _on_air_for(fleet, port, here / f"{number}.ts", 60 * minutes / (kills + 1))
                    for number in range(kills + 1)
                ]
                gap = spectator.longest_gap(began + 2, time.monotonic())
            shares = [share for _, share in returns]
            survived = {name: each.pid for name, each in fleet.statuses().items()} == before
            received = [_seconds(here / f"{number}.ts") for number in range(kills + 1)]
            fleet.stop()
    again = [seconds for seconds, _ in returns[1:]]
    return {
        "minutes": minutes,
        "kills": kills,
        "on air again, s": [round(each, 1) for each in again],
        "received between kills, s": [round(each) for each in received],
        "longest gap of a watched worker, ms": round(1000 * gap),
        "sender, share of a core": round(statistics.median(shares), 3),
        "every worker is the same process": survived,
    }


def _on_air_for(
    fleet: FleetUnderTest, port: int, file: Path, seconds: float
) -> tuple[float, float]:
    """Run a server for a while; return the seconds until it was on air, and the sender's share."""
    with ingest(port, file):
        began = time.monotonic()
        until("it is on air", lambda: file.exists() and file.stat().st_size > 0, BACK_TIMEOUT_S)
        on_air_s = time.monotonic() - began
        sender = psutil.Process(http.get(f"{fleet.page}/api/air").json()["report"]["pid"])
        used = _cpu_s(sender)
        time.sleep(max(0.0, seconds - on_air_s))
        return on_air_s, (_cpu_s(sender) - used) / max(1.0, seconds - on_air_s)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _seconds(file: Path) -> float:
    """Return how long the video of a file is."""
    command = ("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0")
    done = subprocess.run([*command, str(file)], capture_output=True, check=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.minutes, arguments.kills)
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    table = Table("measurement", "value", title="on air")
    for name, value in result.items():
        table.add_row(name, str(value))
    Console().print(machine, table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine} | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
