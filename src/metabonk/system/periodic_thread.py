"""A daemon thread that does one thing at regular intervals."""

import threading
from collections.abc import Callable

from metabonk.system.process import lower_priority


class PeriodicThread:
    """Thread that calls a function now, and again ``period_s`` seconds after each return.

    An exception ends the thread and goes to ``threading.excepthook``, see ``StopSignal``.

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
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread, waiting up to ``timeout_s`` seconds for a call in progress.

        Safe to call before ``start``.
        """
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        if self._background:
            lower_priority()
        try:
            self._tick()
            while not self._closed.wait(self._period_s):
                self._tick()
        finally:
            self._at_end()
