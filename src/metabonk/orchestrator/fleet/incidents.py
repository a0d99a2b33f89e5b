"""Incidents that somebody should be woken for, found in the state of a fleet. Pure."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metabonk.messages.alerts import Incident, IncidentKind, Severity
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import StreamState, WorkerStatus

LEARNER_SILENT_S = 30.0
LEARNER_START_S = 300.0
"""Before its first answer. A start takes four seconds, on a busy machine twenty, and minutes where
PyTorch comes from a slow disk."""

LOOP_S, LOOP_RESTARTS = 600.0, 3
ENCODER_LOST_S = 60.0
"""An encoder that breaks is replaced within seconds, where there is another one."""

OVER_AFTER_S = 120.0
"""A trouble that comes back sooner is the same incident."""


@dataclass(frozen=True, slots=True)
class Observation:
    """State of a fleet at one moment.

    Attributes:
        now: monotonic seconds.
        learns: there should be a learner.
        learner: its status; None while it does not answer.
        workers: their statuses.
        restarts: of each process, by name.
        full: folders on disks that are nearly full, with their free megabytes.
    """

    now: float
    learns: bool
    learner: LearnerStatus | None
    workers: Sequence[WorkerStatus]
    restarts: Mapping[str, int]
    full: Mapping[Path, int] = field(default_factory=dict)


class Watch:
    """Finds the incidents of a fleet.

    Args:
        no_progress_s: seconds without progress; 0: no limit.
        now: monotonic seconds.
    """

    def __init__(self, no_progress_s: float, now: float) -> None:
        self._no_progress_s = no_progress_s
        self._learner_at = now
        self._learner_allowed_s = LEARNER_START_S
        self._skipped = 0
        self._progress = -1
        self._progress_at = now
        self._restarts: dict[str, int] = {}
        self._restarted_at: dict[str, deque[float]] = {}
        self._failing_since: dict[str, float] = {}

    def find(self, seen: Observation) -> list[Incident]:
        """Return the incidents of this moment; to be asked about once a second."""
        restarted = self._note_restarts(seen)
        return [
            *self._learner(seen, restarted),
            *self._not_finite(seen),
            *self._no_progress(seen),
            *self._disks(seen),
            *self._restart_loops(seen),
            *self._encoders(seen),
        ]

    def _note_restarts(self, seen: Observation) -> set[str]:
        restarted = set()
        for name, count in seen.restarts.items():
            times = self._restarted_at.setdefault(name, deque(maxlen=LOOP_RESTARTS))
            for _ in range(count - self._restarts.get(name, 0)):
                times.append(seen.now)
                restarted.add(name)
        self._restarts = dict(seen.restarts)
        return restarted

    def _learner(self, seen: Observation, restarted: set[str]) -> Iterator[Incident]:
        if not seen.learns:
            return
        if seen.learner is not None:
            self._learner_at, self._learner_allowed_s = seen.now, LEARNER_SILENT_S
        silent_s = seen.now - self._learner_at
        if "learner" in restarted:
            message = "the learner died or hung, and was restarted"
        elif silent_s >= self._learner_allowed_s:
            message = f"the learner has not answered for {silent_s:.0f} s"
        else:
            return
        yield _critical(IncidentKind.LEARNER, "learner", message, "see logs/learner.log")

    def _not_finite(self, seen: Observation) -> Iterator[Incident]:
        if seen.learner is None:
            return
        new = seen.learner.gradient_steps_skipped - self._skipped
        self._skipped = seen.learner.gradient_steps_skipped
        if new > 0:
            yield _critical(
                IncidentKind.NOT_FINITE,
                "learner",
                "a loss or gradient is not finite, and its gradient step was skipped",
                "lower learning.learning_rate or learning.reward_scale; see logs/learner.log",
            )

    def _no_progress(self, seen: Observation) -> Iterator[Incident]:
        if seen.learns:
            progress = seen.learner.steps_trained if seen.learner is not None else self._progress
            what = "learned"
        else:
            progress = sum(worker.step for worker in seen.workers)
            what = "played"
        if progress != self._progress:
            self._progress, self._progress_at = progress, seen.now
        stalled_s = seen.now - self._progress_at
        if 0 < self._no_progress_s <= stalled_s:
            yield _critical(
                IncidentKind.NO_PROGRESS,
                "",
                f"nothing was {what} for {stalled_s / 60:.0f} minutes",
                "see the problems on the page, and logs/orchestrator.log",
            )

    def _disks(self, seen: Observation) -> Iterator[Incident]:
        for folder, free_mb in seen.full.items():
            yield _critical(
                IncidentKind.DISK,
                str(folder),
                f"{free_mb} MB are free on the disk of {folder}",
                "free some; checkpoints can't be written without",
            )

    def _restart_loops(self, seen: Observation) -> Iterator[Incident]:
        for name, times in self._restarted_at.items():
            if len(times) == LOOP_RESTARTS and seen.now - times[0] <= LOOP_S:
                yield _warning(
                    IncidentKind.RESTARTS,
                    name,
                    f"{name} was restarted {LOOP_RESTARTS} times within {LOOP_S / 60:.0f} minutes",
                    f"see logs/{name}.log",
                )

    def _encoders(self, seen: Observation) -> Iterator[Incident]:
        failing = [each for each in seen.workers if each.stream_state is StreamState.ERROR]
        self._failing_since = {
            each.instance_id: self._failing_since.get(each.instance_id, seen.now)
            for each in failing
        }
        lost = [
            each
            for each in failing
            if seen.now - self._failing_since[each.instance_id] >= ENCODER_LOST_S
        ]
        if lost:
            yield _warning(
                IncidentKind.ENCODER,
                "",
                f"{len(lost)} of {len(seen.workers)} workers have no encoder: "
                f"{lost[0].instance_id}: {lost[0].stream_error}",
                "training goes on; docs/sessions.md explains each reason",
            )


class Incidents:
    """The incidents that last; each begins once. One thread updates them.

    Attributes:
        active: those that last, or ended a moment ago; never changed, but replaced.
    """

    def __init__(self) -> None:
        self.active: tuple[Incident, ...] = ()
        self._active: dict[tuple[IncidentKind, str], tuple[Incident, float]] = {}

    def update(self, found: Sequence[Incident], now: float, at: float) -> list[Incident]:
        """Return those that have just begun.

        Args:
            found: at this moment.
            now: monotonic seconds.
            at: Unix time, seconds.
        """
        begun = []
        for incident in found:
            key = incident.kind, incident.subject
            known = self._active.get(key)
            if known is None:
                begun.append(incident.model_copy(update={"since": at}))
            first = begun[-1] if known is None else known[0]
            self._active[key] = first, now
        self._active = {
            key: (incident, seen_at)
            for key, (incident, seen_at) in self._active.items()
            if now - seen_at < OVER_AFTER_S
        }
        self.active = tuple(incident for incident, _ in self._active.values())
        return begun


def _critical(kind: IncidentKind, subject: str, message: str, action: str) -> Incident:
    return Incident(
        kind=kind, subject=subject, severity=Severity.CRITICAL, message=message, action=action
    )


def _warning(kind: IncidentKind, subject: str, message: str, action: str) -> Incident:
    return Incident(
        kind=kind, subject=subject, severity=Severity.WARNING, message=message, action=action
    )
