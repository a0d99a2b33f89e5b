"""Rates that were counted, over the last few seconds."""

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 5.0


class Rate:
    """Events per second over a sliding window. Any thread may count and read.

    Counts are gathered in tenths of a second, so that memory is bounded at any rate.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: deque[tuple[float, int]] = deque()
        self._since = clock()
        self.total = 0

    def count(self, events: int = 1) -> None:
        """Counts ``events`` now."""
        start = round(self._clock() - 0.05, 1)
        with self._lock:
            self.total += events
            if self._buckets and self._buckets[-1][0] == start:
                events += self._buckets.pop()[1]
            self._buckets.append((start, events))
            self._forget()

    def per_second(self) -> float:
        """Events per second over the window, or over the time since the first call if shorter."""
        with self._lock:
            self._forget()
            elapsed = min(WINDOW_S, self._clock() - self._since)
            return sum(n for _, n in self._buckets) / max(elapsed, 0.1)

    def restart(self) -> None:
        """Forgets the window, for a new phase in which the old rate says nothing."""
        with self._lock:
            self._buckets.clear()
            self._since = self._clock()

    def _forget(self) -> None:
        horizon = self._clock() - WINDOW_S
        while self._buckets and self._buckets[0][0] < horizon:
            self._buckets.popleft()
