"""Process that forks the shadows of a trainer's environments; run by the trainer's interpreter.

``python -m metabonk.broadcast.shadow_process NAME [MODULE …]`` listens under a name. For each
connection it forks a shadow, which begins with Gymnasium and these modules imported: for CartPole
that takes 0.01 s of CPU and 6 MB instead of 0.3 s and 31 MB. A shadow ends when the one who shows
it has gone, or with this process; this one ends when it has had no shadow for a while. Of two that
are started at once, one ends. It leads a POSIX session: if it is killed, a hub finds what its
shadows have started, such as game engines, by that.
"""

import contextlib
import ctypes
import faulthandler
import functools
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from typing import NoReturn

from metabonk.broadcast.shadow_link import ShadowLink, ShadowReport
from metabonk.errors import ReplayError, WireError
from metabonk.system import peers
from metabonk.system.left_behind import end_group
from metabonk.system.process import PR_SET_PDEATHSIG

IDLE_S = 3.0
FIRST_S = 30.0
"""Time to wait for a shadow to be asked for; the first may have to wait for a slow disk."""

GRACE_S = 3.0
"""Time in which a shadow ends by itself when the one who shows it has gone; then it is killed."""

POLL_MS = 500.0


@dataclass
class _Forked:
    """A shadow.

    Attributes:
        connection: to the one who shows it, whose end is seen here too.
        ended: readable once the shadow has ended.
        abandoned_at: when the connection was lost; None: it is there.
    """

    connection: socket.socket
    ended: int
    abandoned_at: float | None = None

    def close(self) -> None:
        self.connection.close()
        os.close(self.ended)


class ShadowHost:
    """Forks a shadow for each connection, and ends those that nobody shows.

    Args:
        listener: accepts connections.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._shadows: dict[int, _Forked] = {}

    def serve(self) -> socket.socket | None:
        """Fork shadows until there are none for a while.

        Returns:
            In a shadow, its connection; in the host None.
        """
        self._listener.setblocking(False)
        idle_since, idle_s = time.monotonic(), FIRST_S
        while self._shadows or time.monotonic() - idle_since < idle_s:
            self._wait()
            with contextlib.suppress(BlockingIOError):
                connection, _ = self._listener.accept()
                if self._fork(connection):
                    self._listener.close()
                    return connection
            self._reap()
            if self._shadows:
                idle_since, idle_s = time.monotonic(), IDLE_S
        return None

    def _wait(self) -> None:
        """Wait until something happens, and note which shadows lost their connection."""
        events = select.poll()
        events.register(self._listener, select.POLLIN)
        for shadow in self._shadows.values():
            events.register(shadow.ended, select.POLLIN)
            if shadow.abandoned_at is None:
                events.register(shadow.connection, 0)  # Only tells of its end.
        happened = {descriptor for descriptor, _ in events.poll(POLL_MS)}
        for shadow in self._shadows.values():
            if shadow.connection.fileno() in happened:
                shadow.abandoned_at = time.monotonic()

    def _fork(self, connection: socket.socket) -> bool:
        """Fork a shadow; return true in it."""
        try:
            peers.require_same_user(connection)
        except PermissionError:
            connection.close()
            return False
        host = os.getpid()
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            # NumPy's threads, of which this warns, are made anew in the child.
            pid = os.fork()
        # What an environment starts, such as a game engine, ends with its shadow.
        with contextlib.suppress(OSError):  # Whichever of the two comes second.
            os.setpgid(pid, pid)
        if pid:
            self._shadows[pid] = _Forked(connection, os.pidfd_open(pid))
            return False
        for each in self._shadows.values():
            each.close()
        _die_with(host)
        return True

    def _reap(self) -> None:
        for pid, shadow in [*self._shadows.items()]:
            abandoned_at = shadow.abandoned_at
            if abandoned_at is not None and time.monotonic() - abandoned_at > GRACE_S:
                os.kill(pid, signal.SIGKILL)  # A child keeps its number until it is reaped.
            # Its number stays taken until it is reaped.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                end_group(pid)
                os.waitpid(pid, 0)
                self._shadows.pop(pid).close()


def play(connection: socket.socket) -> None:
    """Be a shadow until nobody shows it any more, or its environment can't be repeated."""
    player = importlib.import_module("metabonk.broadcast.shadow_player")
    link = ShadowLink(connection)
    failure = ""
    with contextlib.suppress(ConnectionError, TimeoutError, FileNotFoundError):
        try:
            player.play(link)
        except (ReplayError, WireError) as error:
            failure = str(error)
        except OSError as error:
            failure = f"its ring can't be used: {error.strerror}"
        if failure:
            link.send(ShadowReport(os.getpid(), note=failure, has_failed=True))


def main(name: str, *modules: str) -> NoReturn:
    """Serve under a name, unless another process does already.

    Args:
        name: to listen under.
        modules: that environments will import; what fails does so again where it is told.
    """
    try:
        listener = peers.listen(name)
    except OSError:
        os._exit(0)
    faulthandler.enable()
    # Whoever connects meanwhile waits for the first fork.
    importlib.import_module("metabonk.broadcast.shadow_player")
    for module in modules:
        with contextlib.suppress(Exception):  # Other people's code may raise anything.
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    connection = ShadowHost(listener).serve()
    if connection is not None:
        _silence()
        play(connection)
    os._exit(0)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, even while it is stopped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _silence() -> None:
    """Drop what the environment's libraries print, as on every step, but not how they crash."""
    log = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(log)
    sys.excepthook = functools.partial(traceback.print_exception, file=log)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
