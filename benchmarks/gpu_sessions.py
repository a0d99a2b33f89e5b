"""What a machine's GPU is to a fleet: sessions, encoders, why a stream uses which, how many it has.

``python -m benchmarks.gpu_sessions [--workers 1 2 4 8] [--size 1920x1080] [--fps 60]`` starts a
real training fleet for each number of workers, all of them to be live, without steps of quality,
and lets it stream. It prints what every worker achieves, and for the first fleet what an
operator would ask for: ``metabonk nvenc status`` and the log lines about sessions.
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

from metabonk.messages import StreamState

ABOUT_SESSIONS = ("session", "falls back", "encoder", "next attempt")

say = Console(highlight=False, markup=False, soft_wrap=True).print


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
    say(machine)
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
        row = one_fleet(workers, arguments.seconds, environment, explain=not rows)
        say(json.dumps(row))
        rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "fleets": rows}, indent=1) + "\n")


def one_fleet(
    workers: int, seconds: float, environment: dict[str, str], *, explain: bool
) -> dict[str, Any]:
    """What every worker of a fleet achieves after ``seconds`` of all of them being live."""
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
                say(f"{file.name}:\n{file.read_text()}")
            raise
        began, cpu = time.monotonic(), cpu_s(fleet)
        before = fleet.statuses()
        time.sleep(seconds)
        after = fleet.statuses()
        took = time.monotonic() - began
        found = {
            "workers": workers,
            "backends": sorted({str(status.stream_backend) for status in after.values()}),
            "fps": [status.stream_fps for status in after.values()],
            "dropped": [
                status.frames_dropped - before[name].frames_dropped
                for name, status in after.items()
            ],
            "steps_per_s": round(sum(status.steps_per_s for status in after.values()), 1),
            "cores": round((cpu_s(fleet) - cpu) / took, 2),
        }
        if explain:
            say(fleet.command("nvenc", "status", "--workers", str(workers)).stdout)
            for name in after:
                say_log(fleet, name)
        found["stopped_in_s"] = round(fleet.stop(), 1)
    return found


def cpu_s(fleet: FleetUnderTest) -> float:
    """Processor seconds of everything the fleet runs."""
    return sum(sum(process.cpu_times()[:2]) for process in fleet.tree())


def say_log(fleet: FleetUnderTest, name: str) -> None:
    for line in fleet.log(name).splitlines():
        if any(word in line for word in ABOUT_SESSIONS):
            say(line)


if __name__ == "__main__":
    main()
