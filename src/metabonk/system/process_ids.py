"""Processes and process groups of this machine, told apart from later ones of the same id.

Every child of the fleet leads a session of its own, so whatever it starts (a game's engine) is
found by the session's id, also when the child itself has ended. A process is named by its id *and*
its start: ids are given out again.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel

MODULES = ("metabonk.cli.main", "metabonk.encoding.probe")
"""What processes of ours run, as ``python -m`` shows it in their command line."""

PARENT = "--parent"
"""Before the pid of the process that a child was started by and is to end with."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_S = 0.02

# Fields of /proc/<pid>/stat counted from after the command's name (proc(5): state is field 3).
_STATE, _SESSION, _START = 0, 3, 19


class ProcessId(BaseModel, frozen=True):
    """One process of one boot, for good."""

    pid: int
    started: int
    """Clock ticks since boot (proc(5), /proc/<pid>/stat, field 22)."""


def boot_id() -> str:
    """Tells this boot of the machine from every other."""
    return BOOT_ID.read_text().strip()


def process_id(pid: int) -> ProcessId | None:
    """The process that has this id now; None if there is none, or only its exit status is left."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in "ZX":
        return None
    return ProcessId(pid=pid, started=int(fields[_START]))


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs."""
    return process_id(process.pid) == process


def members(session: ProcessId) -> list[ProcessId]:
    """The processes of the session that ``session`` leads or led.

    The kernel gives an id to nobody while it names a session. Once that has emptied, a later
    process may lead another one of the same id: so only processes are taken that the leader, or in
    its absence nobody else, can have started.
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
    """Whether the process is of this user and runs MetaBonk or a program of its environment."""
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
    """MetaBonk's own processes whose parent has ended and which should have ended with it.

    Each names the parent it was started by; one that runs under another has lost it.
    """
    found = []
    for pid in psutil.pids():
        process = process_id(pid)
        if process is not None and is_ours(process) and _has_lost_its_parent(pid):
            found.append(process)
    return found


def _has_lost_its_parent(pid: int) -> bool:
    try:
        known = psutil.Process(pid)
        arguments = known.cmdline()
        named = arguments[arguments.index(PARENT) + 1]
        return not set(MODULES).isdisjoint(arguments) and int(named) != known.ppid()
    except (psutil.Error, ValueError, IndexError):
        return False


def end(processes: Iterable[ProcessId], grace_s: float) -> list[ProcessId]:
    """SIGTERM, a wait, SIGKILL to those that are left.

    Args:
        processes: not children of this process; those are their supervisor's to reap.
        grace_s: how long they have to end by themselves.

    Returns:
        those that had to be killed.
    """
    left = [process for process in processes if send(process, signal.SIGTERM)]
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [process for process in left if is_alive(process)]
    return [process for process in left if send(process, signal.SIGKILL)]


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Signals this very process; false when it has ended.

    The descriptor pins the process between the check and the signal (pidfd_open(2)).
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
    """What is left of a session of an ended fleet, as far as it is provably MetaBonk's own.

    Under a leader that lives that is all of it. Without one the session may be a later one of the
    same id, so each process must be known for itself.
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
