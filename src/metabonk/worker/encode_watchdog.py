"""Detection of encoders that hang in their driver."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from metabonk.system.periodic_thread import PeriodicThread

HANG_S = 10.0
"""A driver silent for this long is hung: a frame takes milliseconds, and resetting a driver two or
three seconds."""


class EncodeWatchdog:
    """Thread that notices when a call into the encoder does not return.

    Args:
        on_hang: called on the watchdog's thread, once per call that hangs.
        timeout_s: how long a call may take, seconds.
    """

    def __init__(self, on_hang: Callable[[], None], timeout_s: float = HANG_S) -> None:
        self.timeout_s = timeout_s
        self._on_hang = on_hang
        self._lock = threading.Lock()
        self._call: object | None = None
        self._call_since = 0.0
        self._thread = PeriodicThread(self._check, timeout_s / 10, name="encode-watch")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block, in which the driver is called and may hang."""
        call = object()
        with self._lock:
            self._call, self._call_since = call, time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                # A call that hung returns after another thread has begun the next one.
                if self._call is call:
                    self._call = None

    def _check(self) -> None:
        with self._lock:
            if self._call is None or time.monotonic() - self._call_since < self.timeout_s:
                return
            self._call = None
        self._on_hang()
