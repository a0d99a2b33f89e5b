"""Stop signal, parent-death signal, priority and logging of a MetaBonk process."""

import ctypes
import logging
import os
import select
import signal
import threading
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any

from metabonk.errors import MetaBonkError, StartError
from metabonk.printable import printable_line
from metabonk.system.log_filter import RepetitionFilter
from metabonk.system.log_thread import BackgroundHandler
from metabonk.system.text_streams import SHOWABLE

log = logging.getLogger(__name__)

BACKGROUND_NICE = 19
"""The lowest priority. A standby worker has several threads, each with its own weight: at niceness
10 they took 3 frames/s from a live stream on two cores."""

SERVING_NICE = 10
"""Priority of a process that those of the lowest priority wait for; live streams come first."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StopSignal:
    """Flag set by SIGTERM, SIGINT or ``set()``.

    Must be created in the main thread, where Python handles signals.
    """

    def __init__(self) -> None:
        # Not an Event: the handler interrupts the main thread, which may hold the lock that
        # ``Event.set`` takes. A pipe needs no lock, and stays readable once written to.
        self._reader, self._writer = os.pipe()
        self._is_set = False
        self._failure: MetaBonkError | None = None
        self._revived: frozenset[str] = frozenset()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.set()

    def set(self) -> None:
        """Ask the process to stop."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """Tell whether the process was asked to stop."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds; return true once the process was asked to stop."""
        # Not select(): it takes no descriptor from 1024 on.
        readable = select.poll()
        readable.register(self._reader, select.POLLIN)
        return bool(readable.poll(None if timeout is None else 1000 * timeout))

    def watch_threads(self, revived: Collection[str] = ()) -> None:
        """Stop the process when an error ends any of its threads.

        A worker without its encode thread would train on and never be seen again: restarting it
        is the only repair.

        Args:
            revived: names of threads that their owner starts again; their deaths are logged.
        """
        self._revived = frozenset(revived)
        threading.excepthook = self._thread_died

    def raise_failure(self) -> None:
        """Raise the error that ended a thread, if one did."""
        if self._failure is not None:
            raise self._failure

    def _thread_died(self, died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread else "unknown"
        if name in self._revived:
            log.error("thread %s died and is started again", name, exc_info=died.exc_value)
            return
        log.critical("thread %s died; the process exits", name, exc_info=died.exc_value)
        self._failure = MetaBonkError(f"thread {name} died: {died.exc_value!r}")
        self.set()


def die_with_parent(parent_pid: int) -> None:
    """Make the kernel send SIGTERM to this process when its parent ends, however it ends.

    The kernel watches the *thread* that started this process, so a supervisor must start its
    children from a thread that lives as long as itself.

    Raises:
        StartError: the parent has already ended.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        raise StartError(f"the process that started this one (pid {parent_pid}) has already ended")


def lower_priority(nice: int = BACKGROUND_NICE) -> None:
    """Let everything of normal priority run first: live streams come before training.

    On Linux this affects the calling thread, and the threads and processes it starts later.

    Args:
        nice: the new niceness, by default the lowest priority.
    """
    os.nice(max(0, nice - os.getpriority(os.PRIO_PROCESS, 0)))


def configure_logging(name: str, file: Path | None = None) -> None:
    """Log to ``file``, or to standard error, which the parent redirects to ``logs/<name>.log``.

    Whoever logs never waits for ``file``.

    Raises:
        OSError: the file can't be written.
    """
    handlers: list[logging.Handler] | None = None
    if file is not None:
        target = logging.FileHandler(file, encoding="utf-8", errors=SHOWABLE)
        handlers = [BackgroundHandler(target)]
    logging.basicConfig(handlers=handlers, level=logging.INFO, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Formatter(f"%(asctime)s %(levelname)-7s {name} %(message)s"))
        handler.addFilter(RepetitionFilter())
    # A line that can't be written, as on a full disk, is dropped without a traceback.
    logging.raiseExceptions = False
    # They log every request, and every candidate pair of a WebRTC viewer.
    for verbose in ("httpx", "aioice"):
        logging.getLogger(verbose).setLevel(logging.WARNING)
    # It warns about each frame in flight to a viewer who has just left.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


class _Formatter(logging.Formatter):
    """Makes lines that no message, whatever it quotes, can forge or fill with control sequences."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return printable_line(super().formatException(ei))
