"""What a machine's GPU is to a fleet: sessions, encoders, and why the stream uses which.

``python -m benchmarks.gpu_sessions`` starts a real fleet of two workers, lets it stream, and prints
what an operator would ask for: ``metabonk nvenc status`` and the log lines about sessions.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from tests.fleet import FleetUnderTest, run_fleet, until

from metabonk.messages import StreamState

ABOUT_SESSIONS = ("session", "falls back", "encoder", "rests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    say = Console(highlight=False, markup=False, soft_wrap=True).print
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    say(f"{platform.platform()}, Python {platform.python_version()}, {gpu}")
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), "--workers", "2", "--game", "doom:basic") as fleet,
    ):
        try:
            until("a worker is live", lambda: fleet.in_state(StreamState.LIVE), 60)
        except AssertionError:
            for file in (fleet.output, *(fleet.folder / "logs").glob("*.log")):
                say(f"{file.name}:\n{file.read_text()}")
            raise
        time.sleep(seconds)
        say(fleet.command("nvenc", "status", "--workers", "2").stdout)
        for status in fleet.statuses().values():
            say(
                f"{status.instance_id}: {status.stream_state} {status.stream_backend} "
                f"{status.stream_fps} fps, {status.frames_dropped} dropped, "
                f"{status.steps_per_s} steps/s, policy {status.policy_version}"
            )
        for name in ("omega-0", "omega-1"):
            _say_log(fleet, name, say)
        say(f"stopped in {fleet.stop():.1f} s")


def _say_log(fleet: FleetUnderTest, name: str, say: Callable[[str], None]) -> None:
    for line in fleet.log(name).splitlines():
        if any(word in line for word in ABOUT_SESSIONS):
            say(line)


if __name__ == "__main__":
    main()
