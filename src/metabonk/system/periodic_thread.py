"""A daemon thread that does one thing at regular intervals."""

import threading
import time
from collections.abc import Callable

from metabonk.system.process import lower_priority

REVIVE_AFTER_S = 5.0
"""An error that comes back at once fills the log no faster."""


class PeriodicThread:
    """Thread that calls a function now, and again ``period_s`` seconds after each return.

    An exception ends the thread and goes to ``threading.excepthook``, see ``StopSignal``. Its owner
    may ``revive`` it.

    Args:
        tick: called on the thread.
        period_s: pause between two calls, seconds.
        name: of the thread.
        background: run at the lowest priority.
        at_end: called on the thread when it ends, as to close what ``tick`` uses.
    """

    def __init__(
        self,
        tick: Callable[[], None],
        period_s: float,
        *,
        name: str,
        background: bool = False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._tick = tick
        self._period_s = period_s
        self._background = background
        self._at_end = at_end
        self._closed = threading.Event()
        self._name = name
        self._ended_at: float | None = None
        self._thread = self._make_thread()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def revive(self) -> bool:
        """Start the thread again if an error has ended it a while ago; return whether it was."""
        ended_at = self._ended_at
        if self._closed.is_set() or ended_at is None:
            return False
        if time.monotonic() - ended_at < REVIVE_AFTER_S:
            return False
        self._ended_at = None
        self._thread = self._make_thread()
        self._thread.start()
        return True

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread, waiting up to ``timeout_s`` seconds for a call in progress.

        Safe to call before ``start``.
        """
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=self._name, daemon=True)

    def _run(self) -> None:
        if self._background:
            lower_priority()
        try:
            self._tick()
            while not self._closed.wait(self._period_s):
                self._tick()
        finally:
            self._ended_at = time.monotonic()
            self._at_end()
