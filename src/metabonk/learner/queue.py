"""Rollouts that wait for the learner, in bounded memory."""

import threading
import time
from collections import deque

from metabonk.policy import Rollout


class RolloutQueue:
    """First in, first out, from any number of threads to one learner.

    Bounded by decisions, since rollouts differ in length: what does not fit waits and is then
    refused, so that whoever sends holds back.

    Args:
        capacity: decisions it may hold. One rollout always fits into an empty queue.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rollouts: deque[Rollout] = deque()
        self._steps = 0
        self._changed = threading.Condition()

    def put(self, rollout: Rollout, timeout: float = 0.0) -> bool:
        """Takes a rollout as soon as there is room for it.

        Returns:
            False when there was none within ``timeout`` seconds, and then the caller keeps it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(rollout)), timeout):
                return False
            self._rollouts.append(rollout)
            self._steps += len(rollout)
            self._changed.notify_all()
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
            self._changed.notify_all()
            return taken

    def _has_room(self, steps: int) -> bool:
        return not self._rollouts or self._steps + steps <= self._capacity

    @property
    def steps(self) -> int:
        """Decisions that wait."""
        return self._steps
