"""A clock that stands still while this process does."""

import threading
import time
from collections.abc import Callable

ASLEEP_S = 1.0
"""Nobody has asked for so long: the fleet is looked at several times a second."""


class AwakeClock:
    """Monotonic seconds, without those in which this process was stopped or starved.

    Who hears nothing since it does not listen must not take others to be silent. Any thread may
    ask, and one has to do so all the time.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = clock()
        self._asleep_s = 0.0

    def __call__(self) -> float:
        """Now."""
        with self._lock:
            now = self._clock()
            if now - self._asked_at > ASLEEP_S:
                self._asleep_s += now - self._asked_at
            self._asked_at = now
            return now - self._asleep_s
