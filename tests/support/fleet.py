"""A fleet on free ports, in its own folder, for tests and benchmarks.

It is started by the command line, as a user starts it, and examined from outside: over HTTP, in the
process table, and by what it leaves behind.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.system.process import die_with_parent
from tests.support import http
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import kill_tree
from tests.support.serving import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
GAMELESS_STAGGER_S = 0.05


@dataclass
class FleetUnderTest:
    """A running fleet.

    Attributes:
        process: of ``metabonk start``.
        folder: working directory.
        environment: variables of the process.
        worker_port: port of the first worker.
        orchestrator: address, ``http://…``.
        page: address.
        learner: address.
        output: file with what the process prints.
        ports: from ``fleet_ports``.
    """

    process: subprocess.Popen[str]
    folder: Path
    environment: dict[str, str]
    worker_port: int
    orchestrator: str
    page: str
    learner: str
    output: Path
    ports: Sequence[int]

    def worker(self, index: int) -> str:
        """Return the address of a worker."""
        return f"http://127.0.0.1:{self.worker_port + index}"

    def statuses(self) -> dict[str, WorkerStatus]:
        """Return every worker's status as the orchestrator knows it."""
        answer = http.get(f"{self.orchestrator}/workers").raise_for_status().json()
        return {name: WorkerStatus.model_validate(status) for name, status in answer.items()}

    def in_state(self, state: StreamState) -> list[WorkerStatus]:
        """Return the workers whose stream is in ``state``."""
        return [status for status in self.statuses().values() if status.stream_state is state]

    def first_in(self, state: StreamState) -> WorkerStatus:
        """Wait until a worker's stream is in ``state``; return the first such worker."""
        return until(f"a worker is {state}", lambda: next(iter(self.in_state(state)), None), 120)

    def log(self, name: str) -> str:
        """Return the text of a process's log."""
        return (self.folder / "logs" / f"{name}.log").read_text()

    def tree(self) -> list[psutil.Process]:
        """Return the fleet's process and all its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another ``metabonk`` command with the fleet's settings."""
        return subprocess.run(
            [sys.executable, "-m", "metabonk.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120 * SLOWNESS,
            check=False,
        )

    def stop(self, number: int = signal.SIGINT) -> float:
        """Stop it with a signal, as Ctrl-C does; return the seconds until it had exited."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(60)
        return time.monotonic() - began


def fleet_ports() -> list[int]:
    """Return free ports for a fleet: the last is the first worker's, the others' follow it."""
    return free_ports(4, spare=8)


def run_fleet(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
) -> AbstractContextManager[FleetUnderTest]:
    """Run ``metabonk start <arguments>`` in ``folder`` for the duration of the block.

    Args:
        folder: working directory.
        arguments: of the command.
        environment: additional variables.
        ports: from ``fleet_ports``, for a fleet that is restarted where it was.
    """
    return _run(("metabonk.cli.main", "start", *arguments), folder, environment or {}, ports)


def run_gameless_fleet(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
    learner: bool | Literal["record"] = False,
) -> AbstractContextManager[FleetUnderTest]:
    """Run a fleet whose workers show a moving pattern instead of a game.

    Sessions, streams, page and supervision are real. It is up within seconds, as neither a game nor
    PyTorch has to be loaded.

    Args:
        folder: working directory.
        arguments: of ``metabonk start``.
        environment: additional variables.
        ports: from ``fleet_ports``, for a fleet that is restarted where it was.
        learner: also run the real learner, or a stand-in that records rollouts.
    """
    variables = {
        "METABONK_WORKER_SPAWN_STAGGER_S": str(GAMELESS_STAGGER_S),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        **(environment or {}),
    }
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables["PYTHONPATH"]])
    options = {False: (), True: ("--learner",), "record": ("--record",)}[learner]
    command = ("tests.support.gameless_fleet", *options, "start", *arguments)
    return _run(command, folder, variables, ports)


@contextmanager
def _run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    ports: Sequence[int] | None,
) -> Iterator[FleetUnderTest]:
    ports = ports or fleet_ports()
    variables = {
        **os.environ,
        "METABONK_PORTS_ORCHESTRATOR": str(ports[0]),
        "METABONK_PORTS_PAGE": str(ports[1]),
        "METABONK_PORTS_LEARNER": str(ports[2]),
        "METABONK_PORTS_WORKER": str(ports[3]),
        "METABONK_PATHS_RUNTIME": str(folder / "runtime"),
        **environment,
    }
    output = folder / "terminal.txt"
    with output.open("w") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
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
        ports,
    )
    try:
        yield fleet
    finally:
        kill_tree(process)
