"""Rollouts that wait for the learner, in bounded memory."""

import threading
import time
from collections import deque

from metabonk.policy import Rollout


class RolloutQueue:
    """First in, first out, from any number of threads to one learner.

    Bounded by decisions, since rollouts differ in length: what does not fit is refused, so that
    whoever sends holds back.

    Args:
        capacity: decisions it may hold. One rollout always fits into an empty queue.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rollouts: deque[Rollout] = deque()
        self._steps = 0
        self._changed = threading.Condition()

    def put(self, rollout: Rollout) -> bool:
        """Takes a rollout; False when the queue is full, and then the caller keeps it."""
        with self._changed:
            if self._rollouts and self._steps + len(rollout) > self._capacity:
                return False
            self._rollouts.append(rollout)
            self._steps += len(rollout)
            self._changed.notify()
            return True

    def take(self, steps: int, timeout: float) -> list[Rollout]:
        """The oldest rollouts with at least ``steps`` decisions in all.

        Returns:
            An empty list when there were not enough after ``timeout`` seconds; they stay queued.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._steps < steps:
                if not self._changed.wait(deadline - time.monotonic()):
                    return []
            taken: list[Rollout] = []
            gathered = 0
            while gathered < steps:
                rollout = self._rollouts.popleft()
                gathered += len(rollout)
                taken.append(rollout)
            self._steps -= gathered
            return taken

    @property
    def steps(self) -> int:
        """Decisions that wait."""
        return self._steps
