"""Events of the fleet: numbered for viewers, and encoder sessions in ``logs/orchestrator.log``.

Each worker logs its own sessions where they are opened. This log has those of all workers in one
order, as heartbeats report them, and includes sessions of workers that died holding one.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metabonk.encoding.ladder import RUNGS
from metabonk.messages.alerts import Incident, Severity
from metabonk.messages.feed import EventKind, FleetEvent
from metabonk.messages.workers import (
    EpisodeResult,
    StreamState,
    WorkerKind,
    WorkerStatus,
    instance_id,
)
from metabonk.orchestrator.fleet.event_file import EventFile

log = logging.getLogger(__name__)

MAX_EVENTS = 200
"""Kept in memory, and sent to a page that is opened."""

MIN_EPISODES = 20
"""Episodes before a new best return is announced."""

SEVERITIES = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
"""In ascending order."""

POOL_NAMES = {rung.backend: rung.pool_kind.upper() for rung in RUNGS}


@dataclass(frozen=True, slots=True)
class _Session:
    """A worker's encoder session, as its status describes it."""

    backend: str
    slot: int | None
    gpu: int | None

    @classmethod
    def of(cls, status: WorkerStatus) -> "_Session | None":
        if not status.stream_backend:
            return None
        slot = status.nvenc_slot
        return cls(status.stream_backend, slot, None if slot is None else status.gpu_index)

    @property
    def pool(self) -> str:
        return POOL_NAMES.get(self.backend, "encoder")

    def __str__(self) -> str:
        known = {"slot": self.slot, "gpu": self.gpu}
        fields = [f"{name}={value}" for name, value in known.items() if value is not None]
        return " ".join([*fields, f"backend={self.backend}"])


class EventLog:
    """Bounded log of fleet events. Thread-safe.

    Args:
        clock: Unix time, seconds.
        file: keeps the events of earlier starts too; None: they are in memory only.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, file: EventFile | None = None
    ) -> None:
        self._clock = clock
        self._file = file
        self._lock = threading.Lock()
        earlier = [] if file is None else file.read()
        self._events: deque[FleetEvent] = deque(earlier, maxlen=MAX_EVENTS)
        self._last_id = max((event.id for event in earlier), default=0)
        self._statuses: dict[str, WorkerStatus] = {}
        self._sessions: dict[str, _Session] = {}
        self._refused: set[str] = set()
        self._episodes = 0
        self._best_return = float("-inf")

    @property
    def last_id(self) -> int:
        """Id of the newest event; 0 before the first."""
        return self._last_id

    def since(self, last_id: int) -> list[FleetEvent]:
        """Return the events after ``last_id`` that are still kept, oldest first."""
        with self._lock:
            return [event for event in self._events if event.id > last_id]

    def page(self, before: int | None, limit: int, severity: Severity) -> list[FleetEvent]:
        """Return events, newest first, also those that are on disk only.

        Args:
            before: id that theirs are below; None: the newest.
            limit: number of events at most.
            severity: least one.
        """
        on_disk = [] if self._file is None else self._file.read()
        known = {event.id: event for event in (*on_disk, *self.since(0))}
        wanted = SEVERITIES[SEVERITIES.index(severity) :]
        found = (
            event
            for id, event in sorted(known.items(), reverse=True)
            if (before is None or id < before) and event.severity in wanted
        )
        return list(itertools.islice(found, limit))

    def on_status(self, status: WorkerStatus, reason: str, *, refused: bool = False) -> None:
        """Log what a worker's heartbeat changes.

        Args:
            status: of the worker.
            reason: for its assignment to live or standby.
            refused: it is in standby because the sessions are in use.
        """
        with self._lock:
            last = self._statuses.get(status.instance_id)
            self._statuses[status.instance_id] = status
            self._log_session(status, reason if refused else None)
            self._add_process(status, last)
            self._add_stream(status, last, reason)

    def on_exit(self, name: str, message: str) -> None:
        """Log the end of a process; the kernel has freed its session.

        Args:
            name: of the process.
            message: how it ended.
        """
        with self._lock:
            self._refused.discard(name)
            self._release(name, " (it died)")
            self._add(EventKind.DIED, name, message, Severity.WARNING)

    def on_incident(self, incident: Incident) -> None:
        """Log the beginning of an incident."""
        with self._lock:
            message = f"{incident.message}; {incident.action}"
            self._add(EventKind.INCIDENT, incident.subject, message, incident.severity)

    def on_left(self, name: str) -> None:
        """Log that a guest, or a worker of this node, is gone for good."""
        with self._lock:
            self._refused.discard(name)
            self._release(name)
            if (last := self._statuses.pop(name, None)) is not None:
                what = "broadcast" if last.kind is WorkerKind.GUEST else "played here"
                self._add(EventKind.LEFT, name, f"{name} is no longer {what}")

    def on_episodes(self, episodes: Sequence[EpisodeResult]) -> None:
        """Log a best return since this start, once there are enough to compare with."""
        with self._lock:
            for episode in episodes:
                self._episodes += 1
                if episode.total_reward <= self._best_return:
                    continue
                self._best_return = episode.total_reward
                if self._episodes > MIN_EPISODES:
                    name = instance_id(episode.worker_index)
                    best = f"{name} reached {episode.total_reward:.1f}, the best return so far"
                    self._add(EventKind.BEST_RETURN, name, best)

    def _add_process(self, status: WorkerStatus, last: WorkerStatus | None) -> None:
        name = status.instance_id
        if last is None:
            plays = f"{name} plays {status.game}"
            if status.guest is not None:
                plays = f"{name} is broadcast by process {status.guest.trainer_pid}"
            self._add(EventKind.REGISTERED, name, plays)
        elif last.pid != status.pid:
            self._add(EventKind.RESTARTED, name, f"{name} restarted as process {status.pid}")

    def _add_stream(self, status: WorkerStatus, last: WorkerStatus | None, reason: str) -> None:
        name, state = status.instance_id, status.stream_state
        last_state = last.stream_state if last else None
        if state is last_state:
            return
        if state is StreamState.LIVE:
            self._add(EventKind.LIVE, name, f"{name} is live through {status.stream_backend}")
        elif state is StreamState.STANDBY and last_state is StreamState.LIVE:
            trains = "trains" if status.kind is WorkerKind.FLEET else "goes on"
            self._add(EventKind.STANDBY, name, f"{name} {trains} without a stream: {reason}")

    def _log_session(self, status: WorkerStatus, refusal: str | None) -> None:
        name, session = status.instance_id, _Session.of(status)
        if self._sessions.get(name) != session:
            self._release(name)
            if session is not None:
                self._sessions[name] = session
                log.info("Acquired %s session worker=%s %s", session.pool, name, session)
        if session is not None or refusal is None:
            self._refused.discard(name)
        elif name not in self._refused:
            self._refused.add(name)
            log.info("Session limit reached worker=%s: %s", name, refusal)

    def _release(self, name: str, note: str = "") -> None:
        session = self._sessions.pop(name, None)
        if session is not None:
            log.info("Released %s session worker=%s %s%s", session.pool, name, session, note)

    def _add(
        self, kind: EventKind, name: str, message: str, severity: Severity = Severity.INFO
    ) -> None:
        self._last_id += 1
        event = FleetEvent(
            id=self._last_id,
            at=self._clock(),
            kind=kind,
            severity=severity,
            instance_id=name,
            message=message,
        )
        self._events.append(event)
        if self._file is not None:
            self._file.add(event)
