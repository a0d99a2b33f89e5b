"""Logging that never waits for the disk."""

import contextlib
import logging
import queue
import threading

CAPACITY = 10_000
"""Lines that wait for a slow disk: some MB, and minutes of a fleet in trouble."""

CLOSE_S = 0.5
"""Longest wait for the disk at the end."""


class BackgroundHandler(logging.Handler):
    """Hands log records to another handler on a daemon thread.

    A full queue drops the newest record; the number of dropped ones is logged once there is room.

    Args:
        target: may wait, for instance for a disk that hangs.
        capacity: records that may wait.
    """

    def __init__(self, target: logging.Handler, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._target = target
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(capacity)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def setFormatter(self, formatter: logging.Formatter | None) -> None:
        """Format records on their way into the target."""
        self._target.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; its arguments may change after this call, so they are formatted now."""
        record.msg, record.args = record.getMessage(), None
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what is queued, for at most ``CLOSE_S`` seconds."""
        super().close()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            self._target.handle(record)
            if dropped := self._take_dropped():
                self._target.handle(_report(dropped))
        with contextlib.suppress(OSError):  # The last lines of a full disk.
            self._target.close()

    def _take_dropped(self) -> int:
        self.acquire()  # ``emit`` is called with the same lock.
        try:
            dropped, self._dropped = self._dropped, 0
            return dropped
        finally:
            self.release()


def _report(dropped: int) -> logging.LogRecord:
    message = "%d log lines were dropped: the disk did not take them in time"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (dropped,), None)
