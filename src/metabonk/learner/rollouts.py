"""Rollouts on their way into the learner: checked, and queued while it trains."""

import math
import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np
import torch

from metabonk.errors import WireError
from metabonk.policy import PolicySpec, Rollout
from metabonk.policy.serialization import Data


class RolloutQueue:
    """FIFO queue of rollouts, from any number of threads to one learner.

    Bounded by steps, since rollouts differ in length. A rollout that doesn't fit is refused after a
    wait, which slows its worker down.

    Args:
        capacity: steps. A single rollout always fits into an empty queue.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rollouts: deque[Rollout] = deque()
        self._steps = 0
        self._changed = threading.Condition()

    def put(self, rollout: Rollout, timeout: float = 0.0) -> bool:
        """Add a rollout, waiting up to ``timeout`` seconds for room.

        Returns:
            False if there was none; the rollout was not added.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(rollout)), timeout):
                return False
            self._rollouts.append(rollout)
            self._steps += len(rollout)
            self._changed.notify_all()
            return True

    def take(self, steps: int, timeout: float) -> list[Rollout]:
        """Take the oldest rollouts with at least ``steps`` steps in total.

        Returns:
            An empty list if there were not enough after ``timeout`` seconds; they stay queued.
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
        """Queued steps."""
        return self._steps


class Refusal(NamedTuple):
    """Why a rollout is not learned from.

    Attributes:
        status: as of HTTP; 503 if it may be sent again.
        error: machine-readable.
        message: a sentence.
    """

    status: int
    error: str
    message: str


def receive_rollout(
    data: Data, spec: PolicySpec, queue: RolloutQueue, device: torch.device, timeout: float
) -> Refusal | None:
    """Queue a rollout from an untrusted source, after waiting for room if need be.

    Args:
        data: the rollout as safetensors, supposedly.
        spec: of the learner's policy.
        queue: of the learner.
        device: of the learner, which the observations are uploaded to here, beside its training.
        timeout: longest wait for room, seconds.
    """
    try:
        rollout = Rollout.from_bytes(data)
    except WireError as error:
        return Refusal(400, "malformed_rollout", str(error))
    if difference := spec.difference(rollout.spec):
        return Refusal(409, "other_policy", f"the rollout doesn't fit: {difference}")
    rollout.observations_on(device)
    if not queue.put(rollout, timeout):
        words = f"{queue.steps} steps are queued already; send it again later"
        return Refusal(503, "queue_full", words)
    return None


def max_rollout_bytes(spec: PolicySpec, steps: int) -> int:
    """Return the largest size of a rollout of ``steps`` steps in bytes, header included."""
    observation = math.prod(spec.observation_shape) * np.dtype(spec.observation_dtype).itemsize
    action = math.prod(spec.action_shape) * np.dtype(spec.action_dtype).itemsize
    header = 16_384 + 4 * len(spec.model_dump_json())
    # Every step may end an episode, which takes the header about 60 characters.
    return (steps + 1) * observation + steps * (action + 128) + 4 * spec.memory + header
