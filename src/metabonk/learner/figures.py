"""What the learner says of itself; written by the thread that learns, read by any."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from metabonk.learner.appo import Counters, Update
from metabonk.messages import LearnerStatus

WINDOW_S = 30.0
"""Over which the rate of steps is counted: some updates, which take a second or so each."""


class Figures:
    """Counts updates.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, int]] = deque()
        self._counters = Counters()
        self._lag = 0.0
        self._losses: dict[str, float] = {}
        self.save_error: str | None = None
        """Why the last checkpoint was not written."""

    def restored(self, counters: Counters) -> None:
        """Takes over the counters of a checkpoint."""
        with self._lock:
            self._counters = _copied(counters)

    def updated(self, update: Update, counters: Counters) -> None:
        """Takes what an update did."""
        with self._lock:
            self._counters = _copied(counters)
            self._recent.append((self._clock(), update.steps))
            if update.steps:
                self._lag = update.lag
                self._losses = update.losses

    def status(self) -> LearnerStatus:
        """The status object now."""
        with self._lock:
            now = self._clock()
            while self._recent and self._recent[0][0] <= now - WINDOW_S:
                self._recent.popleft()
            elapsed = min(WINDOW_S, now - self._started)
            steps = sum(steps for _, steps in self._recent)
            return LearnerStatus(
                pid=os.getpid(),
                uptime_s=round(now - self._started, 3),
                policy_version=self._counters.version,
                steps_trained=self._counters.steps_trained,
                steps_per_s=round(steps / elapsed, 2) if elapsed > 0 else 0.0,
                steps_dropped=self._counters.steps_dropped,
                updates=self._counters.updates,
                policy_lag=round(self._lag, 3),
                losses=dict(self._losses),
                save_error=self.save_error,
            )

    def skipped(self) -> int:
        """Gradient steps left out, since they were not finite."""
        with self._lock:
            return self._counters.skipped


def _copied(counters: Counters) -> Counters:
    return Counters(**vars(counters))
