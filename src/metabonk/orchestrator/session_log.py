"""Who got and who gave back an encoder session, in ``logs/orchestrator.log``.

Each worker logs the same where it happens. Here it is of all workers, in one order, as they tell in
their heartbeats; and of a worker that died with a session, which could no longer say so.
"""

import logging
import threading
from dataclasses import dataclass

from metabonk.encoding.ladder import RUNGS
from metabonk.messages import WorkerStatus

log = logging.getLogger(__name__)

SCARCITY = {rung.backend: rung.scarcity.upper() for rung in RUNGS}


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


class SessionLog:
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
