"""The last status of every worker and when it arrived. Pure: the caller passes the time."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from metabonk.messages.workers import Counters, StreamState, WorkerKind, WorkerStatus

STALE_AFTER_S = 5.0
"""Ten heartbeats: a worker silent for longer hangs, or its process has ended."""

SUSPENDED_AFTER_S = 1.0
"""A longer gap between two readings is a suspension: the fleet reads its clock far more often."""

ENDED = {
    "stream_state": StreamState.STARTING,
    "stream_backend": "",
    "stream_quality": None,
    "stream_active_clients": 0,
    "stream_dedicated_clients": 0,
    "stream_fps": 0.0,
    "stream_bitrate": 0,
    "frames_fps": 0.0,
    "steps_per_s": 0.0,
    "uptime_s": 0.0,
    "nvenc_slot": None,
}
"""Fields of the status of a worker whose process has ended; its counts stay."""


@dataclass(frozen=True, slots=True)
class LastStatus:
    """A status and its time of arrival (monotonic, seconds).

    Attributes:
        status: of the worker.
        at: when it arrived.
        ended: its process has ended, and the next one has not reported yet.
    """

    status: WorkerStatus
    at: float
    ended: bool = False

    def silence_s(self, now: float) -> float:
        """Return the seconds since it arrived."""
        return now - self.at

    def is_stale(self, now: float) -> bool:
        """Tell whether the next one is overdue."""
        return self.silence_s(now) > STALE_AFTER_S


class Registry:
    """Last status of every worker, by instance id.

    Args:
        counters: by worker index, of the run's earlier starts.
    """

    def __init__(self, counters: Mapping[int, Counters] = MappingProxyType({})) -> None:
        self._last: dict[str, LastStatus] = {}
        self._counters = dict(counters)

    def record(self, status: WorkerStatus, now: float) -> None:
        """Store the status of a heartbeat."""
        self._last[status.instance_id] = LastStatus(status, now)
        if status.kind is WorkerKind.GUEST:
            return  # It counts for itself, and its index becomes another one's.
        index, known = status.worker_index, self.counters(status.worker_index)
        self._counters[index] = Counters(
            step=max(known.step, status.step), episode=max(known.episode, status.episode)
        )

    def end(self, instance_id: str, message: str) -> None:
        """Note that a worker's process has ended, for as long as the next one has not reported.

        Args:
            instance_id: of the worker.
            message: how it ended.
        """
        if (last := self._last.get(instance_id)) is not None:
            status = last.status.model_copy(update={**ENDED, "stream_error": message})
            self._last[instance_id] = LastStatus(status, last.at, ended=True)

    def forget(self, instance_id: str) -> None:
        """Drop a worker that is gone for good; its counters are kept."""
        self._last.pop(instance_id, None)

    def set_counters(self, worker_index: int, counters: Counters) -> None:
        """Set where the next process of a worker continues to count."""
        self._counters[worker_index] = counters

    def counters(self, worker_index: int) -> Counters:
        """Return where the next process of a worker continues to count."""
        return self._counters.get(worker_index, Counters())

    def fresh(self, now: float) -> list[WorkerStatus]:
        """Return the workers heard from lately, by index."""
        return _by_index(last for last in self._running() if not last.is_stale(now))

    def running(self) -> list[WorkerStatus]:
        """Return the last status of every worker that runs, silent ones included, by index."""
        return _by_index(self._running())

    def known(self) -> list[WorkerStatus]:
        """Return every worker's last status, also while its process starts again, by index."""
        return _by_index(self._last.values())

    def silent(self, now: float) -> dict[str, float]:
        """Return the seconds of silence of stale workers, by instance id."""
        return {
            last.status.instance_id: last.silence_s(now)
            for last in self._running()
            if last.is_stale(now)
        }

    def _running(self) -> Iterator[LastStatus]:
        return (last for last in self._last.values() if not last.ended)


def _by_index(last: Iterable[LastStatus]) -> list[WorkerStatus]:
    return sorted((each.status for each in last), key=lambda status: status.worker_index)


class SuspendAwareClock:
    """Monotonic seconds that leave out times when this process was suspended or starved.

    Such times must not count as silence of the workers. Thread-safe; must be read at least once
    per ``SUSPENDED_AFTER_S``.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = clock()
        self._suspended_s = 0.0

    def __call__(self) -> float:
        """Return the current time."""
        with self._lock:
            now = self._clock()
            if now - self._read_at > SUSPENDED_AFTER_S:
                self._suspended_s += now - self._read_at
            self._read_at = now
            return now - self._suspended_s
