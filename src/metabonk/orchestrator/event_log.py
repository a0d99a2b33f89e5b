"""What has happened in the fleet, for people who watch: the last events, numbered."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metabonk.encoding.ladder import RUNGS
from metabonk.messages import Episode, EventKind, FleetEvent, StreamState, WorkerStatus

KEPT = 200

FIRST_EPISODES = 20
"""Before so many nobody's return is worth a word as the best."""


class EventLog:
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


log = logging.getLogger(__name__)

SCARCITY = {rung.backend: rung.pool_kind.upper() for rung in RUNGS}


@dataclass(frozen=True, slots=True)
class _Session:
    backend: str
    slot: int | None
    gpu: int | None

    @classmethod
    def of(cls, status: WorkerStatus) -> "_Session | None":
        if not status.stream_backend:
            return None
        slot = status.nvenc_slot
        return cls(status.stream_backend, slot, None if slot is None else status.gpu_index)

    def __str__(self) -> str:
        known = {"slot": self.slot, "gpu": self.gpu}
        fields = [f"{name}={value}" for name, value in known.items() if value is not None]
        return " ".join([*fields, f"backend={self.backend}"])


class SessionEventLog:
    """Any thread may tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Session] = {}
        self._waiting: set[str] = set()

    def heard(self, status: WorkerStatus, refusal: str | None) -> None:
        """A worker said how it is.

        Args:
            status: of the worker.
            refusal: why there is no session for it while others have theirs; None where there is
                one, or where there are none at all.
        """
        name, now = status.instance_id, _Session.of(status)
        with self._lock:
            before = self._held.get(name)
            if before is not None and before != now:
                self._released(name, "")
            if now is not None and before != now:
                self._held[name] = now
                log.info("Acquired %s session worker=%s %s", _kind(now), name, now)
            if now is not None or refusal is None:
                self._waiting.discard(name)
            elif name not in self._waiting:
                self._waiting.add(name)
                log.info("Session limit reached worker=%s: %s", name, refusal)

    def died(self, name: str) -> None:
        """A worker's process has ended, and the kernel has freed what it held."""
        with self._lock:
            self._waiting.discard(name)
            if name in self._held:
                self._released(name, " (it died)")

    def _released(self, name: str, how: str) -> None:
        session = self._held.pop(name)
        log.info("Released %s session worker=%s %s%s", _kind(session), name, session, how)


def _kind(session: _Session) -> str:
    return SCARCITY.get(session.backend, "encoder")
