"""Processes and their POSIX sessions, identified unambiguously although pids are reused.

A process is identified by its pid *and* its start time. Every child of a fleet leads a POSIX
session, so whatever it starts (a game's engine) is found by that id, even after the child's end.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel

MODULES = (
    "metabonk.cli.main",
    "metabonk.encoding.probe_child",
    "metabonk.broadcast.shadow_process",
)
"""Modules that our processes run, as ``python -m`` shows them in their command lines."""

PARENT = "--parent"
"""Flag naming the parent pid; the child exits when the parent does."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_S = 0.02

# Fields of /proc/<pid>/stat counted from after the command's name (proc(5): state is field 3).
_STATE, _SESSION, _THREADS, _START = 0, 3, 17, 19


class ProcessId(BaseModel, frozen=True):
    """A process, distinguished from every other one since this boot."""

    pid: int
    started: int
    """Clock ticks since boot (proc(5), /proc/<pid>/stat, field 22)."""


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return BOOT_ID.read_text(encoding="utf-8").strip()


def process_id(pid: int) -> ProcessId | None:
    """Return the process with this pid; None if there is none, or it has exited (zombie)."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in "ZX":
        return None
    return ProcessId(pid=pid, started=int(fields[_START]))


def is_alive(process: ProcessId) -> bool:
    """Tell whether this process still runs; a later one with the same pid doesn't count."""
    return process_id(process.pid) == process


def members(*sessions: ProcessId) -> list[ProcessId]:
    """Return the processes of the POSIX sessions that these processes lead or led.

    The kernel doesn't reuse a pid while it names a session. Once the session is empty, a later
    process may lead another one with the same id: so only processes are returned that this leader
    can have started.

    Raises:
        OSError: this process can't look.
    """
    started = {each.pid: each.started for each in sessions if process_id(each.pid) in (None, each)}
    found = []
    for pid in psutil.pids():
        fields = _stat(pid)
        if fields is None or fields[_STATE] in "ZX":
            continue
        session, start = int(fields[_SESSION]), int(fields[_START])
        if session in started and start >= started[session]:
            found.append(ProcessId(pid=pid, started=start))
    return found


def is_ours(process: ProcessId) -> bool:
    """Tell whether the process is this user's and runs MetaBonk or a program of its environment."""
    try:
        known = psutil.Process(process.pid)
        if known.uids().real != os.getuid():
            return False
        program, arguments = Path(known.exe()), known.cmdline()
    except psutil.Error:
        return False
    runs_metabonk = not set(MODULES).isdisjoint(arguments)
    return is_alive(process) and (runs_metabonk or program.is_relative_to(sys.prefix))


def orphans(parent: int | None = None) -> list[ProcessId]:
    """Return MetaBonk processes that outlived the parent they should have ended with.

    Each names its parent on the command line; one with another parent has lost it.

    Args:
        parent: pid of the parent; None: any.
    """
    found = []
    for pid in psutil.pids():
        process = process_id(pid)
        if process is not None and is_ours(process) and _is_orphan(pid, parent):
            found.append(process)
    return found


def _is_orphan(pid: int, parent: int | None) -> bool:
    try:
        known = psutil.Process(pid)
        arguments = known.cmdline()
        named = int(arguments[arguments.index(PARENT) + 1])
        is_lost = not set(MODULES).isdisjoint(arguments) and named != known.ppid()
        return is_lost and parent in (None, named)
    except (psutil.Error, ValueError, IndexError):
        return False


def end(processes: Iterable[ProcessId], grace_s: float) -> list[ProcessId]:
    """Send SIGTERM, wait, and send SIGKILL to those that are left.

    Args:
        processes: not children of this process, which their supervisor reaps.
        grace_s: time to end by themselves, seconds.

    Returns:
        The processes that had to be killed.
    """
    left = [process for process in processes if send(process, signal.SIGTERM)]
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [process for process in left if is_alive(process)]
    return [process for process in left if send(process, signal.SIGKILL)]


def wait_until_ended(processes: Iterable[ProcessId], timeout_s: float) -> list[ProcessId]:
    """Wait until processes hold nothing; return those that still do after ``timeout_s`` seconds.

    The first thread of a killed process is often a zombie before the others have ended, and only
    the last one closes its files: sockets and locks.
    """
    left = list(processes)
    deadline = time.monotonic() + timeout_s
    while (left := [each for each in left if _holds_files(each)]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def _holds_files(process: ProcessId) -> bool:
    fields = _stat(process.pid)
    if fields is None or int(fields[_START]) != process.started:
        return False
    return fields[_STATE] not in "ZX" or int(fields[_THREADS]) > 1


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to this process; return false if it has ended.

    A pidfd pins the process between the check and the signal (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def leftovers(session: ProcessId) -> list[ProcessId]:
    """Return what is left of a child's POSIX session, where it is provably MetaBonk's.

    With its leader alive that is the whole session. Without, it may be a later session with the
    same id, so each process has to be recognized by itself.
    """
    left = members(session)
    if session in left:
        return left if is_ours(session) else []
    return [process for process in left if is_ours(process)]


def _stat(pid: int) -> list[str] | None:
    # Any other error, such as too many open files, does not mean that there is no such process.
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The command's name is in parentheses and may itself hold spaces and parentheses.
    return text[text.rindex(")") + 2 :].split()
