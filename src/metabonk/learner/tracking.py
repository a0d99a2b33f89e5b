"""Delivery of a run's curves to experiment trackers, for which training never waits."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

CAPACITY = 1000
"""Points that wait for a slow tracker: a quarter of an hour of updates."""

RETRY_S = 30.0
"""Pause before a tracker that failed is tried again."""

CLOSE_S = 1.5
"""Longest time to finish at the end: a learner that takes longer than 3.5 seconds is killed."""


class Point(NamedTuple):
    """Values of the curves at one time.

    Attributes:
        scalars: by name.
        step: steps trained.
        time: Unix time, seconds.
    """

    scalars: dict[str, float]
    step: int
    time: float


class Tracker(Protocol):
    """A run in an experiment tracker; anything it does may wait or fail."""

    def log(self, point: Point) -> None:
        """Add a point to the curves."""

    def close(self) -> None:
        """Finish the run."""


class TrackerThread:
    """Thread that takes points to a tracker.

    Points are kept while the tracker fails, as far as the queue holds them, and it is connected
    anew.

    Args:
        name: of the tracker, for messages.
        connect: begins the run in the tracker, or continues it; called on the thread.
        capacity: points that may wait.
        retry_s: pause after a failure, seconds.
        close_s: longest time to finish, seconds.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Tracker],
        *,
        capacity: int = CAPACITY,
        retry_s: float = RETRY_S,
        close_s: float = CLOSE_S,
    ) -> None:
        self._name = name
        self._connect = connect
        self._retry_s = retry_s
        self._close_s = close_s
        self._deadline = math.inf
        self._capacity = capacity
        self._points: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._tracker: Tracker | None = None
        self._failed = self._full = False
        self._thread = threading.Thread(target=self._run, name=f"tracking-{name}", daemon=True)
        self._thread.start()

    def add(self, scalars: Mapping[str, float | None], step: int) -> None:
        """Queue a point; it is dropped where the queue is full.

        Args:
            scalars: values by name; None if there is none yet.
            step: steps trained.
        """
        was_full, self._full = self._full, self._points.qsize() >= self._capacity
        if not self._full:
            values = {name: value for name, value in scalars.items() if value is not None}
            self._points.put(Point(values, step, time.time()))
        elif not was_full:
            log.warning("%s is too slow: its curves have a gap", self._name)

    def request_close(self) -> None:
        """Deliver what is queued and finish, without waiting here; ``close`` waits."""
        self._deadline = time.monotonic() + self._close_s
        self._closing.set()
        self._points.put(None)

    def close(self) -> None:
        """Finish, or give up ``close_s`` seconds after that was requested."""
        if not self._closing.is_set():
            self.request_close()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._thread.is_alive():
            log.warning("%s does not answer: its last points are lost", self._name)

    def _run(self) -> None:
        while (point := self._points.get()) is not None:
            while not self._try(lambda: self._deliver(point)):
                self._tracker = None
                if self._closing.wait(self._retry_s):
                    return
        if (tracker := self._tracker) is not None:
            self._try(tracker.close)

    def _deliver(self, point: Point) -> None:
        if self._tracker is None:
            self._tracker = self._connect()
        self._tracker.log(point)

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as error:  # The trackers' libraries may raise anything.
            level = logging.DEBUG if self._failed else logging.WARNING
            log.log(level, "%s fails, and training continues: %s", self._name, error)
            log.debug("%s failed", self._name, exc_info=error)
            self._failed = True
            return False
        if self._failed:
            log.info("%s works again", self._name)
        self._failed = False
        return True
