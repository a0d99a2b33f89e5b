"""Rates of counted amounts over the last few seconds."""

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 3.0
BUCKET_S = 0.1
BUCKETS = round(WINDOW_S / BUCKET_S)


class Rate:
    """Amount per second over a sliding window; thread-safe.

    Amounts are summed up in tenths of a second, so memory is bounded at any rate.

    Args:
        clock: seconds, monotonic.

    Attributes:
        total: everything counted so far.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._buckets: deque[tuple[int, int]] = deque()

    def count(self, amount: int = 1) -> None:
        """Add ``amount`` now."""
        with self._lock:
            bucket = int(self._clock() / BUCKET_S)
            self.total += amount
            if self._buckets and self._buckets[-1][0] == bucket:
                amount += self._buckets.pop()[1]
            self._buckets.append((bucket, amount))
            self._expire(bucket)

    def per_second(self) -> float:
        """Return the rate over the window, or since the (re)start if that is shorter."""
        with self._lock:
            now = self._clock()
            bucket = int(now / BUCKET_S)
            self._expire(bucket)
            # The newest bucket is still filling, so the oldest began less than a window ago.
            elapsed = now - max(self._since, (bucket - BUCKETS + 1) * BUCKET_S)
            return sum(amount for _, amount in self._buckets) / max(elapsed, BUCKET_S)

    def restart(self) -> None:
        """Clear the window for a new phase; the total stays."""
        with self._lock:
            self._buckets.clear()
            self._since = self._clock()

    def _expire(self, now: int) -> None:
        oldest = now - BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
