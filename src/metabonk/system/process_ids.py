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

MODULES = ("metabonk.cli.main", "metabonk.encoding.probe_child")
"""Modules that our processes run, as ``python -m`` shows them in their command lines."""

PARENT = "--parent"
"""Flag naming the parent pid; the child exits when the parent does."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_S = 0.02

# Fields of /proc/<pid>/stat counted from after the command's name (proc(5): state is field 3).
_STATE, _SESSION, _START = 0, 3, 19


class ProcessId(BaseModel, frozen=True):
    """A process, distinguished from every other one since this boot."""

    pid: int
    started: int
    """Clock ticks since boot (proc(5), /proc/<pid>/stat, field 22)."""


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return BOOT_ID.read_text().strip()


def process_id(pid: int) -> ProcessId | None:
    """Return the process with this pid; None if there is none, or it has exited (zombie)."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in "ZX":
        return None
    return ProcessId(pid=pid, started=int(fields[_START]))


def is_alive(process: ProcessId) -> bool:
    """Tell whether this process still runs; a later one with the same pid doesn't count."""
    return process_id(process.pid) == process


def members(session: ProcessId) -> list[ProcessId]:
    """Return the processes of the POSIX session that ``session`` leads or led.

    The kernel doesn't reuse a pid while it names a session. Once the session is empty, a later
    process may lead another one with the same id: so only processes are returned that this leader
    can have started.
    """
    leader = process_id(session.pid)
    if leader is not None and leader != session:
        return []
    found = []
    for pid in psutil.pids():
        fields = _stat(pid)
        if fields is None or fields[_STATE] in "ZX" or int(fields[_SESSION]) != session.pid:
            continue
        started = int(fields[_START])
        if started >= session.started:
            found.append(ProcessId(pid=pid, started=started))
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


def orphans() -> list[ProcessId]:
    """Return MetaBonk processes that outlived the parent they should have ended with.

    Each names its parent on the command line; one with another parent has lost it.
    """
    found = []
    for pid in psutil.pids():
        process = process_id(pid)
        if process is not None and is_ours(process) and _is_orphan(pid):
            found.append(process)
    return found


def _is_orphan(pid: int) -> bool:
    try:
        known = psutil.Process(pid)
        arguments = known.cmdline()
        named = arguments[arguments.index(PARENT) + 1]
        return not set(MODULES).isdisjoint(arguments) and int(named) != known.ppid()
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
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The command's name is in parentheses and may itself hold spaces and parentheses.
    return text[text.rindex(")") + 2 :].split()
