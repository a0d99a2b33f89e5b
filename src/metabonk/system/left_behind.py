"""Processes that outlived whoever they belong to, and shared memory that they leave.

The kernel ends a process with its parent only if that process asks for it, and game engines don't.
Standard library only: what forks shadows runs in the environment of a trainer.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from metabonk.system import shared_memory

END_S = 2.0
"""Time for a killed process to be gone: it may be in the middle of a write to a disk."""


def end_group(leader: int) -> None:
    """End the processes of a group that its leader, a zombie of this process, has left.

    Args:
        leader: pid, which is taken until it is reaped.
    """
    _end(pid for pid in _pids() if pid != leader and _value(os.getpgid, pid) == leader)


def end_lost_sessions(variable: str) -> list[int]:
    """End the processes of POSIX sessions whose leader has ended.

    The kernel gives a pid to no other process while it names a session.

    Args:
        variable: of the environment, by which processes of such sessions are known; others are left
            alone.

    Returns:
        The processes (pids).
    """

    def is_lost(pid: int) -> bool:
        session = _value(os.getsid, pid)
        # 0: the leader is in another container.
        if not session or session == pid or not _has_ended(session):
            return False
        with contextlib.suppress(OSError):
            return f"{variable}=".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False

    return _end(filter(is_lost, _pids()))


def _end(pids: Iterable[int]) -> list[int]:
    """Kill processes, and remove the shared memory that no other process maps then."""
    ended, files, handles = list[int](), set[Path](), list[int]()
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except OSError:
            continue
        files |= _mapped(pid)
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(handles[-1], signal.SIGKILL)
            ended.append(pid)
    _wait(handles)
    if files:
        files -= {file for pid in _pids() for file in _mapped(pid)}
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
    return ended


def _wait(handles: Iterable[int]) -> None:
    until = time.monotonic() + END_S
    for handle in handles:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        ended.poll(max(0.0, 1000 * (until - time.monotonic())))
        os.close(handle)


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _value(function: Callable[[int], int], pid: int) -> int | None:
    try:
        return function(pid)
    except OSError:  # It has ended, or is of another user.
        return None


def _has_ended(pid: int) -> bool:
    """Tell whether there is no such process, or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # The command's name is in parentheses and may itself hold spaces and parentheses.
    return text[text.rindex(")") + 2] in "ZX"


def _mapped(pid: int) -> set[Path]:
    """Return the files in shared memory that a process maps."""
    start = f"{shared_memory.PATH}/"
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return set()
    return {Path(line[line.index(start) :]) for line in lines if start in line}
