"""What has happened in the fleet, for people who watch: the last events, numbered."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from metabonk.messages import Episode, EventKind, FleetEvent, StreamState, WorkerStatus

KEPT = 200

FIRST_EPISODES = 20
"""Before so many nobody's return is worth a word as the best."""


class Journal:
    """Any thread may tell and ask.

    Args:
        clock: Unix time, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: deque[FleetEvent] = deque(maxlen=KEPT)
        self._last_id = 0
        self._seen: dict[str, WorkerStatus] = {}
        self._episodes = 0
        self._best = float("-inf")

    @property
    def last_id(self) -> int:
        """Of the newest event; 0 before the first."""
        return self._last_id

    def since(self, last_id: int) -> list[FleetEvent]:
        """The events after this one that are still kept, oldest first."""
        with self._lock:
            return [event for event in self._events if event.id > last_id]

    def heard(self, status: WorkerStatus, reason: str) -> None:
        """A worker said how it is.

        Args:
            status: of the worker.
            reason: why it is wanted live or in standby.
        """
        with self._lock:
            before = self._seen.get(status.instance_id)
            self._seen[status.instance_id] = status
            name, state = status.instance_id, status.stream_state
            if before is None:
                self._add(EventKind.REGISTERED, name, f"{name} plays {status.game}")
            elif before.pid != status.pid:
                self._add(EventKind.RESTARTED, name, f"{name} is back, as process {status.pid}")
            if state is (before.stream_state if before else None):
                return
            was_live = before is not None and before.stream_state is StreamState.LIVE
            if state is StreamState.LIVE:
                self._add(EventKind.LIVE, name, f"{name} is live through {status.stream_backend}")
            elif state is StreamState.STANDBY and was_live:
                self._add(EventKind.STANDBY, name, f"{name} trains without a picture: {reason}")

    def died(self, name: str, because: str) -> None:
        """A process has ended."""
        with self._lock:
            self._add(EventKind.DIED, name, because)

    def finished(self, episodes: Sequence[Episode]) -> None:
        """Episodes have ended; the best return of this start is worth a word."""
        with self._lock:
            for episode in episodes:
                self._episodes += 1
                if episode.total_reward <= self._best:
                    continue
                self._best = episode.total_reward
                if self._episodes > FIRST_EPISODES:
                    name = f"omega-{episode.worker_index}"
                    self._add(
                        EventKind.BEST_RETURN,
                        name,
                        f"{name} reached {episode.total_reward:.1f}, the best return so far",
                    )

    def _add(self, kind: EventKind, instance_id: str, message: str) -> None:
        self._last_id += 1
        self._events.append(
            FleetEvent(
                id=self._last_id,
                at=self._clock(),
                kind=kind,
                instance_id=instance_id,
                message=message,
            )
        )
