"""Notice of an engine that dies during a call.

ViZDoom talks to its engine through queues in shared memory. An engine that is killed while it holds
or awaits one leaves it locked, and the call in progress waits for ever: 22 of 350 kills at full
speed ended so. The thread that waits can't be freed, so its process has to end.
"""

import contextlib
import logging
import os
import select
import threading
from types import TracebackType

log = logging.getLogger(__name__)

STUCK_S = 2.0
"""Longest wait for a call that was in progress when the engine died; ViZDoom takes milliseconds
where it notices."""


class EngineWatch:
    """Ends this process if a call into an engine does not return after the engine's death.

    A call is made ``with`` the watch, on one thread at a time.

    Args:
        pid: of the engine, a child process. On a system without process descriptors nothing is
            noticed (Linux before 5.3).

    Attributes:
        has_exited: the engine has; no call can succeed.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._calling = threading.Lock()
        self.has_exited = False
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            threading.Thread(
                target=self._wait, args=[descriptor], name="engine-watch", daemon=True
            ).start()

    def __enter__(self) -> None:
        self._calling.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._calling.release()

    def _wait(self, descriptor: int) -> None:
        try:
            readable = select.poll()
            readable.register(descriptor, select.POLLIN)
            readable.poll()
        finally:
            os.close(descriptor)
        self.has_exited = True
        if not self._calling.acquire(timeout=STUCK_S):
            log.critical(
                "the game engine (pid %d) was killed in the middle of a step, which never returns; "
                "this process ends with it",
                self._pid,
            )
            logging.shutdown()
            os._exit(os.EX_SOFTWARE)
        self._calling.release()
