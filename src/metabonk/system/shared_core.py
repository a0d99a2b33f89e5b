"""One core for a thread and a process that it calls and waits for.

The two take turns, so that one core is enough for both. Left to itself, the kernel wakes each of
them on an idle core whenever the other one calls: every message crosses from core to core, and ends
a sleep. On one core a step of Doom takes three fifths of the time (docs/performance.md).

No core is theirs for good. A thread that had to wait for its core runs freely for one call, and
stays where the kernel has put it then: away from cores that others use.
"""

import contextlib
import ctypes
import os
import threading
import time

from metabonk.system import thread_usage

STAY_S = 0.05
"""Time on one core, at least. Choosing another costs one call's advantage."""

CONTENDED = 0.1
"""Share of the time for which a thread waits for a core that others use too."""

EVERYWHERE = frozenset(os.sched_getaffinity(0))
"""Cores that this process may use; a thread that stays on one starts its own threads there too."""

_libc = ctypes.PyDLL(None)


class _Thread(threading.local):
    """Core of the calling thread.

    Attributes:
        is_staying: it is willing to.
        core: that it stays on; None while it runs freely.
        since: it was last checked whether it had to wait there, monotonic seconds.
        waited_s: for a core, until then.
    """

    is_staying = False
    core: int | None = None
    since = float("-inf")
    waited_s = 0.0


_thread = _Thread()


def stay() -> None:
    """Let the calling thread share a core with each process that it calls from now on."""
    _thread.is_staying = True


class Callee:
    """A process that threads call.

    Args:
        pid: of the process, a child of this one.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cores: frozenset[int] | None = None

    def join_caller(self) -> None:
        """Move the process to the core of the calling thread, if that stays on one."""
        if not _thread.is_staying:
            self.roam()
            return
        if _is_contended(time.monotonic()):
            _thread.core = None
            _set_cores(0, EVERYWHERE)
        elif _thread.core is None:
            _thread.core = _libc.sched_getcpu()
            _set_cores(0, frozenset([_thread.core]))
        if _thread.core is not None:
            self._move(frozenset([_thread.core]))

    def roam(self) -> None:
        """Let the process run on any core."""
        self._move(EVERYWHERE)

    def _move(self, cores: frozenset[int]) -> None:
        if self._cores != cores:
            _set_cores(self._pid, cores)
            self._cores = cores


def _is_contended(now: float) -> bool:
    """Tell whether the calling thread has had to wait for its core lately; asked at every call."""
    elapsed_s = now - _thread.since
    if elapsed_s < STAY_S:
        return False
    before, waited = _thread.waited_s, thread_usage.waited_s()
    _thread.since, _thread.waited_s = now, waited or 0.0
    return waited is None or waited - before > CONTENDED * elapsed_s


def _set_cores(pid: int, cores: frozenset[int]) -> None:
    """Set the cores of a thread or process; where that is impossible, it runs where it can."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cores)
