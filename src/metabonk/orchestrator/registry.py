"""What each worker said last, and when. Pure: the caller brings the time."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from metabonk.messages import CounterOffset, WorkerStatus

STALE_AFTER_S = 5.0
"""Ten heartbeats: a worker that is silent for longer hangs, or its process has ended."""


@dataclass(frozen=True, slots=True)
class LastStatus:
    """A status and the moment it came (monotonic, seconds)."""

    status: WorkerStatus
    at: float


class Registry:
    """The newest status of every worker, by instance id."""

    def __init__(self) -> None:
        self._heard: dict[str, LastStatus] = {}

    def record(self, status: WorkerStatus, now: float) -> None:
        """Takes a heartbeat."""
        self._heard[status.instance_id] = LastStatus(status, now)

    def forget(self, instance_id: str) -> None:
        """Drops a worker whose process has ended."""
        self._heard.pop(instance_id, None)

    def fresh(self, now: float) -> list[WorkerStatus]:
        """The workers heard of lately, by index."""
        return self._statuses(heard for heard in self._heard.values() if not _stale(heard, now))

    def known(self) -> list[WorkerStatus]:
        """Every worker with what it said last, by index; a silent one included."""
        return self._statuses(self._heard.values())

    def silent(self, now: float) -> dict[str, float]:
        """Instance id → seconds of silence, of the workers that are stale."""
        return {name: now - heard.at for name, heard in self._heard.items() if _stale(heard, now)}

    @staticmethod
    def _statuses(heard: Iterable[LastStatus]) -> list[WorkerStatus]:
        return sorted((one.status for one in heard), key=lambda status: status.worker_index)


def _stale(heard: LastStatus, now: float) -> bool:
    return now - heard.at > STALE_AFTER_S


class Tallies:
    """Tells a worker that was started again where it goes on counting.

    Args:
        before: by worker, what earlier starts of the run have left.
    """

    def __init__(self, before: Mapping[int, CounterOffset]) -> None:
        self._counted = dict(before)
        self._begun: dict[int, tuple[int, CounterOffset]] = {}

    def begin(self, status: WorkerStatus) -> CounterOffset:
        """What was counted before the process that says this; the same for as long as it lives."""
        index = status.worker_index
        known = self._counted.get(index, CounterOffset())
        pid, begun = self._begun.get(index, (None, known))
        if pid != status.pid:
            begun = known
            self._begun[index] = status.pid, begun
        self._counted[index] = CounterOffset(
            step=max(known.step, status.step), episode=max(known.episode, status.episode)
        )
        return begun


def including(status: WorkerStatus, counted: CounterOffset) -> WorkerStatus:
    """The status with everything counted, also where it was said before the worker was told."""
    if status.step >= counted.step:
        return status
    whole = {"step": counted.step + status.step, "episode": counted.episode + status.episode}
    return status.model_copy(update=whole)


ASLEEP_S = 1.0
"""Nobody has asked for so long: the fleet is looked at several times a second."""


class SuspendAwareClock:
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
