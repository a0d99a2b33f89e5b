"""Time from a worker's death to its first heartbeat and live frame, forked and not.

``python -m benchmarks.worker_start [--kills 8] [--workers 3] [--json FILE]`` trains with a real
fleet and kills its last worker again and again, every other time together with the fork server: a
worker then waits for a new server to import what it needs, as it would import it itself. With
``--workers 1`` nobody else plays.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

STREAM = {
    "METABONK_STREAM_WIDTH": "640",
    "METABONK_STREAM_HEIGHT": "360",
    "METABONK_STREAM_FPS": "30",
    "METABONK_STREAM_ENGINE": "av",
}
HEALTHY_S = 62.0
"""A worker that lived this long restarts after the shortest pause."""

START_TIMEOUT_S = 120.0


def measure(workers: int, kills: int) -> list[dict[str, float | str]]:
    """Return one row for each kill."""
    environment = STREAM | {"METABONK_CPU_MAX_SESSIONS": str(workers)}
    arguments = ("--game", "doom:basic", "--workers", str(workers))
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), *arguments, environment=environment) as fleet,
    ):
        until(
            "every worker is live",
            lambda: len(fleet.in_state(StreamState.LIVE)) == workers,
            START_TIMEOUT_S,
        )
        rows = [_restart(fleet, f"omega-{workers - 1}", number % 2 == 0) for number in range(kills)]
        fleet.stop()
    return rows


def _restart(fleet: FleetUnderTest, name: str, forked: bool) -> dict[str, float | str]:
    time.sleep(HEALTHY_S)
    before = fleet.statuses()[name].pid
    if not forked:
        for process in fleet.tree():
            if "fork-server" in process.cmdline():
                process.kill()
    psutil.Process(before).kill()
    began = time.monotonic()

    def is_back() -> bool:
        status = fleet.statuses().get(name)
        return status is not None and status.pid != before

    def is_live() -> bool:
        status = fleet.statuses()[name]
        return status.stream_state is StreamState.LIVE and status.frames_ok > 0

    until("first heartbeat", is_back, START_TIMEOUT_S)
    heartbeat_s = time.monotonic() - began
    until("first live frame", is_live, START_TIMEOUT_S)
    return {
        "start": "forked" if forked else "imports",
        "heartbeat_s": heartbeat_s,
        "live_s": time.monotonic() - began,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.workers, arguments.kills)
    machine = f"{platform.platform()}, {available_cores()} cores"
    table = Table("start", "figure", "median", "range", title=machine)
    for start in ("forked", "imports"):
        for figure in ("heartbeat_s", "live_s", "load"):
            values = [float(row[figure]) for row in rows if row["start"] == start]
            if values:
                middle, lowest, highest = statistics.median(values), min(values), max(values)
                table.add_row(start, figure, f"{middle:.1f}", f"{lowest:.1f} to {highest:.1f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
