"""What every MetaBonk process does: stop when told, die with its parent, log, give way."""

import ctypes
import logging
import os
import select
import signal
import threading
from pathlib import Path
from types import FrameType

from metabonk.errors import MetaBonkError, StartError

log = logging.getLogger(__name__)

BACKGROUND_NICE = 19
"""The lowest priority. Threads share a core by weight, and a worker in standby has several: at 10
(a tenth of the normal weight each) they cost a live stream on two cores 3 frames a second."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StopSignal:
    """Set by SIGTERM, SIGINT or ``set()``; everything that waits in a process waits on it.

    Must be made in the main thread, since only there Python handles signals.
    """

    def __init__(self) -> None:
        # Not an Event: a handler runs in the middle of the main thread, which may hold the lock
        # that ``Event.set`` takes. A pipe needs none, and stays readable once it was written to.
        self._reader, self._writer = os.pipe()
        self._is_set = False
        self._failure: MetaBonkError | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.set()

    def set(self) -> None:
        """Asks the process to stop."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """Whether the process was asked to stop."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Waits up to ``timeout`` seconds; true as soon as the process was asked to stop."""
        readable, _, _ = select.select([self._reader], [], [], timeout)
        return bool(readable)

    def watch_threads(self) -> None:
        """Stops the process when any of its threads dies of an error.

        A worker whose encode thread is gone would play on and never be seen again: its supervisor
        can start it anew, and only that mends it.
        """
        threading.excepthook = self._thread_died

    def raise_failure(self) -> None:
        """Raises what a thread died of, if one did."""
        if self._failure is not None:
            raise self._failure

    def _thread_died(self, died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread else "unknown"
        log.critical("the thread %s died; the process ends", name, exc_info=died.exc_value)
        self._failure = MetaBonkError(f"the thread {name} died: {died.exc_value!r}")
        self.set()


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel send SIGTERM to this process when its parent ends, however it ends.

    The kernel watches the *thread* that started this process, so a supervisor starts its children
    from a thread that lives as long as itself.

    Raises:
        StartError: the parent has already gone.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        raise StartError(f"the process that started this one (pid {parent_pid}) has already ended")


def lower_priority() -> None:
    """Lets everything of normal priority run first: what is live comes before what learns.

    Linux lowers the calling thread alone, and the threads and processes that it starts later.
    """
    os.nice(BACKGROUND_NICE)


def configure_logging(name: str, file: Path | None = None) -> None:
    """Logs to ``file``; without one to standard error, sent into ``logs/<name>.log`` by the parent.

    Raises:
        OSError: the file can't be written to.
    """
    logging.basicConfig(
        handlers=None if file is None else [logging.FileHandler(file)],
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)-7s {name} %(message)s",
        force=True,
    )
    # A line that can't be written, as on a full disk, is lost; Python would print its traceback.
    logging.raiseExceptions = False
    # A line for each request, and for each pair of addresses that a WebRTC viewer might have.
    for talkative in ("httpx", "aioice"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    # A warning for each picture that was on its way to a viewer who has just left.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
