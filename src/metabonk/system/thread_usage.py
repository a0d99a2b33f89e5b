"""Recent activity of the threads of a POSIX session: ran, waited for a CPU, or for a disk.

It tells a process that hangs from one that a busy machine keeps waiting.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metabonk.system.process_ids import ProcessId, members

# Fields of /proc/<pid>/task/<tid>/stat counted from after the command's name (proc(5)).
_STATE, _UTIME, _STIME, _NICE = 0, 11, 12, 16

_SCHEDSTAT_BYTES = 128

_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True, slots=True)
class ThreadUsage:
    """Usage of one thread since it began.

    Attributes:
        ran_s: on a CPU.
        waited_s: for a CPU; None where the kernel doesn't count that.
        state: as in ``ps``: R for runnable, D for waiting for a disk, T for stopped.
        nice: its niceness.
    """

    ran_s: float
    waited_s: float | None
    state: str
    nice: int


SessionUsage = Mapping[int, ThreadUsage]
"""Usage of every thread, by its id."""


def session_usage(session: ProcessId) -> SessionUsage:
    """Return the usage of all threads of a session's processes.

    Raises:
        OSError: they can't be read.
    """
    found: dict[int, ThreadUsage] = {}
    for process in members(session):
        folder = Path(f"/proc/{process.pid}/task")
        try:
            threads = list(folder.iterdir())
        except _GONE:
            continue
        for thread in threads:
            if (usage := _read(thread)) is not None:
                found[int(thread.name)] = usage
    return found


def waited_s() -> float | None:
    """Return how long the calling thread has waited for a CPU since it began, seconds.

    None where the kernel doesn't count that.
    """
    try:
        descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return None
    try:
        _, waited, *_ = os.read(descriptor, _SCHEDSTAT_BYTES).split()
    finally:
        os.close(descriptor)
    return int(waited) / 1e9


def _read(thread: Path) -> ThreadUsage | None:
    try:
        text = (thread / "stat").read_text(encoding="utf-8", errors="replace")
    except _GONE:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    state, nice = fields[_STATE], int(fields[_NICE])
    try:
        # Documentation/scheduler/sched-stats.rst: nanoseconds on a CPU, and waiting for one.
        ran, waited, *_ = (thread / "schedstat").read_text(encoding="utf-8").split()
    except _GONE:
        ticks = int(fields[_UTIME]) + int(fields[_STIME])
        return ThreadUsage(ticks / os.sysconf("SC_CLK_TCK"), None, state, nice)
    return ThreadUsage(int(ran) / 1e9, int(waited) / 1e9, state, nice)
