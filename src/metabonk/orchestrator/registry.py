"""What each worker said last, and when. Pure: the caller brings the time."""

from collections.abc import Iterable
from dataclasses import dataclass

from metabonk.messages import WorkerStatus

STALE_AFTER_S = 5.0
"""Ten heartbeats: a worker that is silent for longer hangs, or its process has ended."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A status and the moment it came (monotonic, seconds)."""

    status: WorkerStatus
    at: float


class Registry:
    """The newest status of every worker, by instance id."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}

    def record(self, status: WorkerStatus, now: float) -> None:
        """Takes a heartbeat."""
        self._heard[status.instance_id] = Heard(status, now)

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
    def _statuses(heard: Iterable[Heard]) -> list[WorkerStatus]:
        return sorted((one.status for one in heard), key=lambda status: status.worker_index)


def _stale(heard: Heard, now: float) -> bool:
    return now - heard.at > STALE_AFTER_S
