"""Rates that were counted, over the last few seconds."""

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 3.0
GRAIN_S = 0.1
GRAINS = round(WINDOW_S / GRAIN_S)


class Rate:
    """Amounts per second over a sliding window. Any thread may count and read.

    Amounts are gathered in tenths of a second, so that memory is bounded at any rate.

    Args:
        clock: seconds, monotonic.

    Attributes:
        total: everything that was ever counted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._grains: deque[tuple[int, int]] = deque()

    def count(self, amount: int = 1) -> None:
        """Counts ``amount`` now."""
        with self._lock:
            grain = int(self._clock() / GRAIN_S)
            self.total += amount
            if self._grains and self._grains[-1][0] == grain:
                amount += self._grains.pop()[1]
            self._grains.append((grain, amount))
            self._forget(grain)

    def per_second(self) -> float:
        """Over the window, or over the time since the (re)start where that is shorter."""
        with self._lock:
            now = self._clock()
            grain = int(now / GRAIN_S)
            self._forget(grain)
            # The oldest grain that is kept began less than a window ago: the newest is not full.
            elapsed = now - max(self._since, (grain - GRAINS + 1) * GRAIN_S)
            return sum(amount for _, amount in self._grains) / max(elapsed, GRAIN_S)

    def restart(self) -> None:
        """Forgets the window, for a new phase of which the old rate says nothing."""
        with self._lock:
            self._grains.clear()
            self._since = self._clock()

    def _forget(self, now: int) -> None:
        oldest = now - GRAINS
        while self._grains and self._grains[0][0] <= oldest:
            self._grains.popleft()
