"""A real fleet on free ports, in a folder of its own, for tests and benchmarks.

It is started as a user starts it, by the command line, and judged from outside: by HTTP, by the
process table and by what it leaves behind.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from metabonk.messages import StreamState, WorkerStatus
from metabonk.system.process import die_with_parent
from tests.support.processes import kill_tree
from tests.support.serving import free_ports

STOP_TIMEOUT_S = 5.0


@dataclass
class FleetUnderTest:
    """A running fleet and how to reach it."""

    process: subprocess.Popen[str]
    folder: Path
    environment: dict[str, str]
    worker_port: int
    orchestrator: str
    page: str
    learner: str
    output: Path
    shared_memory_before: set[str]

    def worker(self, index: int) -> str:
        """Address of a worker."""
        return f"http://127.0.0.1:{self.worker_port + index}"

    def statuses(self) -> dict[str, WorkerStatus]:
        """Every worker as the orchestrator knows it."""
        answer = httpx.get(f"{self.orchestrator}/workers").raise_for_status().json()
        return {name: WorkerStatus.model_validate(status) for name, status in answer.items()}

    def in_state(self, state: StreamState) -> list[WorkerStatus]:
        """The workers whose stream is in ``state``."""
        return [status for status in self.statuses().values() if status.stream_state is state]

    def log(self, name: str) -> str:
        """A log file's text."""
        return (self.folder / "logs" / f"{name}.log").read_text()

    def tree(self) -> list[psutil.Process]:
        """The fleet's process and everything it started."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs another ``metabonk`` command with the fleet's settings."""
        return subprocess.run(
            [sys.executable, "-m", "metabonk.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stop(self, number: int = signal.SIGINT) -> float:
        """Stops it as Ctrl-C does; seconds until the process had ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOP_TIMEOUT_S + 5)
        return time.monotonic() - began


def fleet_ports() -> list[int]:
    """Free ones for a fleet; the last is the first worker's, and the others' follow it."""
    return free_ports(4, spare=8)


@contextmanager
def run_fleet(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
) -> Iterator[FleetUnderTest]:
    """Starts ``metabonk start <arguments>`` in ``folder``; it ends with the block.

    ``ports`` are from ``fleet_ports``, for a fleet that is to come back where it was.
    """
    ports = ports or fleet_ports()
    variables = {
        **os.environ,
        "METABONK_PORTS_ORCHESTRATOR": str(ports[0]),
        "METABONK_PORTS_PAGE": str(ports[1]),
        "METABONK_PORTS_LEARNER": str(ports[2]),
        "METABONK_PORTS_WORKER": str(ports[3]),
        "METABONK_PATHS_RUNTIME": str(folder / "runtime"),
        **(environment or {}),
    }
    output = folder / "terminal.txt"
    shared_memory = shared_memory_of_games()
    with output.open("w") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "metabonk.cli.main", "start", *arguments],
            cwd=folder,
            env=variables,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A test run that is killed leaves no fleet behind.
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    fleet = FleetUnderTest(
        process,
        folder,
        variables,
        ports[3],
        *(f"http://127.0.0.1:{port}" for port in ports[:3]),
        output,
        shared_memory,
    )
    try:
        yield fleet
    finally:
        kill_tree(process)


def shared_memory_of_games() -> set[str]:
    """Names of ViZDoom's shared-memory files."""
    return {file.name for file in Path("/dev/shm").iterdir() if re.match(r"ViZDoom", file.name)}
