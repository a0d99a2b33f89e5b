"""Encoders and encoder sessions that a fleet uses on a machine with a GPU.

``python -m benchmarks.gpu_sessions [--workers 1 2 4 8] [--size 1920x1080] [--fps 60]`` starts a
real training fleet for each number of workers, all live at fixed quality. It prints backends, frame
rates, lost frames and steps per second, and for the first fleet the output of ``metabonk nvenc
status`` and the log lines about sessions.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.workers import StreamState

SESSION_WORDS = ("session", "falls back", "encoder", "next attempt")

print_line = Console(highlight=False, markup=False, soft_wrap=True).print


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--fps", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    machine = f"{platform.platform()}, Python {platform.python_version()}, {gpu}"
    print_line(machine)
    width, height = arguments.size.split("x")
    environment = {
        "METABONK_STREAM_WIDTH": width,
        "METABONK_STREAM_HEIGHT": height,
        "METABONK_STREAM_FPS": str(arguments.fps),
        "METABONK_STREAM_ADAPTIVE": "0",
        "METABONK_CPU_MAX_SESSIONS": str(max(arguments.workers)),
    }
    rows = []
    for workers in arguments.workers:
        row = one_fleet(workers, arguments.seconds, environment, verbose=not rows)
        print_line(json.dumps(row))
        rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "fleets": rows}, indent=1) + "\n")


def one_fleet(
    workers: int, seconds: float, environment: dict[str, str], *, verbose: bool
) -> dict[str, Any]:
    """Run a fleet and measure it for ``seconds`` once all workers are live."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(
            Path(folder),
            *("--workers", str(workers), "--game", "doom:basic"),
            environment=environment,
        ) as fleet,
    ):
        try:
            until(
                "all workers are live",
                lambda: len(fleet.in_state(StreamState.LIVE)) == workers,
                60 + 5 * workers,
            )
        except AssertionError:
            for file in (fleet.output, *(fleet.folder / "logs").glob("*.log")):
                print_line(f"{file.name}:\n{file.read_text()}")
            raise
        began, cpu = time.monotonic(), cpu_s(fleet)
        before = fleet.statuses()
        time.sleep(seconds)
        after = fleet.statuses()
        elapsed = time.monotonic() - began
        result = {
            "workers": workers,
            "backends": sorted({str(status.stream_backend) for status in after.values()}),
            "fps": [status.stream_fps for status in after.values()],
            "dropped": [
                status.frames_dropped - before[name].frames_dropped
                for name, status in after.items()
            ],
            "steps_per_s": round(sum(status.steps_per_s for status in after.values()), 1),
            "cores": round((cpu_s(fleet) - cpu) / elapsed, 2),
        }
        if verbose:
            print_line(fleet.command("nvenc", "status", "--workers", str(workers)).stdout)
            for name in after:
                print_session_log(fleet, name)
        result["stopped_in_s"] = round(fleet.stop(), 1)
    return result


def cpu_s(fleet: FleetUnderTest) -> float:
    """Return the CPU seconds of all processes of the fleet."""
    return sum(sum(process.cpu_times()[:2]) for process in fleet.tree())


def print_session_log(fleet: FleetUnderTest, name: str) -> None:
    for line in fleet.log(name).splitlines():
        if any(word in line for word in SESSION_WORDS):
            print_line(line)


if __name__ == "__main__":
    main()
