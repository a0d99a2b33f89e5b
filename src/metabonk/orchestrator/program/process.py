"""The program's process, and the order in which workers are shown in it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from metabonk.encoding.ladder import RUNGS
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Featured
from metabonk.messages.program import PROGRAM
from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes.children import common_arguments, metabonk
from metabonk.orchestrator.processes.faults import Faults
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
from metabonk.system.log_files import LogRotation
from metabonk.system.ports import free_port

PORT_DISTANCE = 64
"""From the last worker's port: guests take those in between."""

HARDWARE = frozenset(rung.backend for rung in RUNGS if rung.hardware)


class Program:
    """Starts the program's process for its first viewer, and keeps it running.

    Args:
        state: says whether it is wanted, and is told where it is.
        supervisor: runs it.
        rotation: of its log.
        settings_file: holds the settings for it.
        folder: of the run, or of the hub.
    """

    def __init__(
        self,
        state: FleetState,
        supervisor: Supervisor,
        rotation: LogRotation,
        *,
        settings_file: Path,
        folder: Path,
    ) -> None:
        self._state = state
        self._supervisor = supervisor
        self._rotation = rotation
        self._common = common_arguments(settings_file, folder)
        self._is_added = False
        self._faults = Faults()

    def tick(self) -> None:
        """Start it once somebody wants it."""
        if self._is_added or not self._state.program.is_wanted:
            return
        self._is_added = True
        log = self._state.settings.paths.logs / f"{PROGRAM}.log"
        self._rotation.add(log)
        self._supervisor.add(
            ChildSpec(PROGRAM, self._command, log, vital=False, forked=True, starts_quickly=True)
        )

    def problems(self) -> list[Problem]:
        """Report failures."""
        return self._faults.problems()

    def _command(self) -> tuple[str, ...]:
        """Return its command line, with a port that is free now.

        Raises:
            OSError: there is none.
        """
        settings = self._state.settings
        first = settings.ports.worker + settings.workers + PORT_DISTANCE
        taken = set(settings.ports.model_dump().values())
        port = free_port(settings.internal_host, first, taken.__contains__)
        self._state.program.port = port
        return metabonk(PROGRAM, *self._common, "--port", str(port))


def in_order(
    featured: Featured, workers: Mapping[str, WorkerStatus], pin: str | None, now: float
) -> list[str]:
    """Return the workers that the program may show, the one that it should first. Pure.

    The director's newest choice stays longest, so it comes first, even before it has video: the
    one before is shown meanwhile. Where nobody waits for a place and the director does not rotate,
    those who are live take turns by the clock, as on the page.

    Args:
        featured: the director's choice.
        workers: their statuses, by name.
        pin: worker that somebody chose.
        now: Unix time, seconds.
    """
    return list(dict.fromkeys(_in_order(featured, workers, pin, now)))


def _in_order(
    featured: Featured, workers: Mapping[str, WorkerStatus], pin: str | None, now: float
) -> Iterator[str]:
    live = [name for name, each in workers.items() if each.stream_state is StreamState.LIVE]
    if pin is not None and pin in workers:
        yield pin
    ready = [name for name in live if name in featured.live]
    if featured.next is None and len(ready) > 1:
        yield ready[int(now // featured.rotate_s) % len(ready)]
    able = (StreamState.LIVE, StreamState.STARTING, StreamState.STANDBY)
    yield from (
        name
        for name in reversed(featured.live)
        if name in workers and workers[name].stream_state in able
    )
    yield from live


def is_hardware(status: WorkerStatus) -> bool:
    """Tell whether a worker's stream is encoded in hardware now."""
    return status.stream_backend in HARDWARE
