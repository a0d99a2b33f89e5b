"""Processes of a fleet, the resources they hold, and what a fleet left behind."""

import contextlib
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.fleet import FleetUnderTest

ENGINE = "vizdoom"
MODULE = "metabonk.cli.main"


@dataclass(frozen=True, slots=True)
class Sample:
    """Resources of a process at one moment.

    Attributes:
        at: monotonic seconds.
        memory: resident, bytes.
        descriptors: number of open ones.
        threads: number of them.
    """

    at: float
    memory: int
    descriptors: int
    threads: int


def role(process: psutil.Process) -> str:
    """Return its role in the fleet: ``omega-0``, ``learner``, ``engine``, ``probe`` and so on.

    Raises:
        psutil.Error: it has exited.
    """
    if process.name() == ENGINE:
        return "engine"
    words = process.cmdline()
    if "metabonk.encoding.probe_child" in words:
        return "probe"
    if MODULE not in words:
        return process.name()
    command = words[words.index(MODULE) + 1]
    if command == "worker":
        return f"omega-{words[words.index('--index') + 1]}"
    return command


def members(fleet: FleetUnderTest) -> dict[str, list[psutil.Process]]:
    """Return the processes of a running fleet, by role."""
    root, *others = fleet.tree()
    found = defaultdict(list, {"orchestrator": [root]})
    for process in others:
        try:
            found[role(process)].append(process)
        except psutil.Error:
            continue
    return found


def engines_of(worker: psutil.Process) -> list[psutil.Process]:
    """Return the game engines of a worker; none if it has just exited."""
    engines = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in worker.children(recursive=True):
            # Another child may end meanwhile.
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.name() == ENGINE:
                    engines.append(each)
    return engines


class Census:
    """Resources of every process of a fleet, over time."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)

    def take(self, fleet: FleetUnderTest) -> None:
        """Record the current resources of each process."""
        now = time.monotonic()
        for name, processes in members(fleet).items():
            for process in processes:
                try:
                    with process.oneshot():
                        sample = Sample(
                            now,
                            process.memory_info().rss,
                            process.num_fds(),
                            process.num_threads(),
                        )
                except psutil.Error:
                    continue
                self.samples[name, process.pid].append(sample)

    def growth(self, *, settled_s: float, window_s: float) -> dict[tuple[str, int], "Growth"]:
        """Return the growth of every process that lived long enough, by role and pid.

        Args:
            settled_s: start of a process's life that is ignored, seconds.
            window_s: length of the two periods compared, at the beginning and at the end, seconds.
        """
        found = {}
        for who, samples in self.samples.items():
            began, ended = samples[0].at + settled_s, samples[-1].at
            if ended - began < 2 * window_s:
                continue
            first = [each for each in samples if began <= each.at <= began + window_s]
            last = [each for each in samples if each.at >= ended - window_s]
            found[who] = Growth(
                ended - samples[0].at,
                statistics.median(each.memory for each in first),
                statistics.median(each.memory for each in last),
                min(each.descriptors for each in first),
                min(each.descriptors for each in last),
                min(each.threads for each in first),
                min(each.threads for each in last),
            )
        return found


@dataclass(frozen=True, slots=True)
class Growth:
    """Resources of a process at the beginning and at the end of its life.

    Memory is the median of a period; descriptors and threads are the fewest in it, since viewers
    who come and go add some for a moment, and what leaks stays.
    """

    lived_s: float
    memory_before: float
    memory_after: float
    descriptors_before: int
    descriptors_after: int
    threads_before: int
    threads_after: int

    @property
    def memory(self) -> float:
        """Growth of the memory, as a share of its first size."""
        return self.memory_after / self.memory_before - 1

    def __str__(self) -> str:
        return (
            f"{self.lived_s / 60:5.1f} min  "
            f"{self.memory_before / 2**20:6.1f} → {self.memory_after / 2**20:6.1f} MB "
            f"({self.memory:+.1%})  "
            f"{self.descriptors_before} → {self.descriptors_after} descriptors  "
            f"{self.threads_before} → {self.threads_after} threads"
        )


def runs(process: psutil.Process) -> bool:
    """Tell whether the process runs; a zombie doesn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def shared_memory(processes: Iterable[psutil.Process]) -> set[Path]:
    """Return ViZDoom's shared-memory files that these processes map."""
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
                if (start := line.find("/dev/shm/ViZDoom")) >= 0:
                    found.add(Path(line[start:].removesuffix(" (deleted)")))
    return found


def taken(ports: Iterable[int]) -> list[int]:
    """Return the ports that are in use."""
    found = []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                found.append(port)
    return found
