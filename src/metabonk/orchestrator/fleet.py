"""The fleet as it is now, under one lock: what the routes answer and the terminal shows."""

import threading
import time
from collections.abc import Callable, Sequence

from metabonk.encoding.capacity import Capacity
from metabonk.messages import (
    CurvePoint,
    DesiredState,
    Episode,
    Featured,
    Fleet,
    Heartbeat,
    HeartbeatReply,
    LearnerStatus,
    Problem,
    StreamState,
    WorkerStatus,
    no_picture,
)
from metabonk.orchestrator.director import Assignment, Director, Handover, candidates_of
from metabonk.orchestrator.event_log import EventLog, SessionEventLog
from metabonk.orchestrator.registry import Registry, Tallies, including
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings


class FleetState:
    """Any thread may ask and tell.

    Args:
        settings: of the fleet.
        run: name of the run.
        store: where episodes go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        store: EpisodeStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.run = run
        self.store = store
        self.journal = EventLog()
        self._session_log = SessionEventLog()
        self._clock = clock
        self._lock = threading.Lock()
        self._registry = Registry()
        self._tallies = Tallies(store.counted())
        self._director = Director(settings.featured.rotate_s)
        self._handover = Handover()
        self._capacity = Capacity()
        self._learner: LearnerStatus | None = None
        self._problems: list[Problem] = []
        self._go2rtc: str | None = None

    def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatReply:
        """Takes what a worker says; answers what it should be."""
        status, now = heartbeat.status, self._clock()
        with self._lock:
            counted = self._tallies.begin(status)
            self._registry.record(including(status, counted), now)
            candidates = candidates_of(self._registry.fresh(now))
            wishes = self._director.decide(candidates, self._capacity, now)
            wishes = self._handover.apply(wishes, candidates, self._capacity, now)
        self.store.record(heartbeat.episodes)
        wish = wishes.get(
            status.worker_index,
            Assignment(DesiredState.STANDBY, "streaming is switched off for this worker"),
        )
        limited = wish.desired is DesiredState.STANDBY and status.worker_index in wishes
        self._session_log.heard(status, wish.reason if limited and self._capacity else None)
        self.journal.heard(status, wish.reason)
        self.journal.finished(heartbeat.episodes)
        return HeartbeatReply(desired=wish.desired, reason=wish.reason, counted=counted)

    def knows(self, instance_id: str) -> bool:
        """Whether a worker of this name belongs to the fleet."""
        return instance_id in {f"omega-{index}" for index in range(self.settings.workers)}

    def workers(self) -> dict[str, WorkerStatus]:
        """Instance id → what the worker said last, by index."""
        with self._lock:
            return {status.instance_id: status for status in self._registry.known()}

    def fleet(self) -> Fleet:
        """Everything the page's first screen shows."""
        with self._lock:
            silent = self._registry.silent(self._clock())
            return Fleet(
                run=self.run,
                game=self.settings.game,
                mode=self.settings.mode,
                workers={status.instance_id: status for status in self._registry.known()},
                learner=self._learner,
                problems=[
                    *self._problems,
                    *self.store.problems(),
                    *_unsaved(self._learner),
                    *(_silence(name, seconds) for name, seconds in silent.items()),
                    *(
                        no_picture(status)
                        for status in self._registry.known()
                        if status.stream_state is StreamState.ERROR
                    ),
                ],
                go2rtc=self._go2rtc,
            )

    def episodes(self, limit: int, worker: int | None = None) -> list[Episode]:
        """The last episodes, of all workers or of one, newest first."""
        return self.store.newest(limit, worker)

    def curve(self, points: int, worker: int | None = None) -> list[CurvePoint]:
        """The learning curve, or that of one worker, in at most so many points."""
        return self.store.curve(points, worker)

    def featured(self) -> Featured:
        """Who is shown, and who comes next."""
        now = self._clock()
        with self._lock:
            outlook = self._director.outlook(candidates_of(self._registry.fresh(now)), now)
        return Featured(
            live=[f"omega-{index}" for index in outlook.live],
            rotate_s=self.settings.featured.rotate_s,
            next=None if outlook.next is None else f"omega-{outlook.next}",
            next_in_s=outlook.next_in_s,
        )

    @property
    def capacity(self) -> Capacity:
        """The encoder sessions that the fleet may hold."""
        return self._capacity

    def set_capacity(self, capacity: Capacity) -> None:
        """Takes what encoder sessions there are for this fleet now."""
        with self._lock:
            self._capacity = capacity

    def silent(self) -> dict[str, float]:
        """Instance id → seconds of silence, of the workers that should have been heard of."""
        with self._lock:
            return self._registry.silent(self._clock())

    def set_learner(self, status: LearnerStatus | None) -> None:
        """Takes what the learner says; None while it doesn't answer."""
        with self._lock:
            self._learner = status

    def set_problems(self, problems: Sequence[Problem]) -> None:
        """Takes what the processes' keeper has to say."""
        with self._lock:
            self._problems = list(problems)

    def set_go2rtc(self, address: str | None) -> None:
        """Takes where go2rtc's page is; None while it does not run."""
        with self._lock:
            self._go2rtc = address

    def died(self, name: str, because: str) -> None:
        """A process has ended: its place is free at once.

        Args:
            name: of the process.
            because: how, in a sentence for people.
        """
        self.journal.died(name, because)
        self._session_log.died(name)
        with self._lock:
            self._registry.forget(name)
            if name == "learner":
                self._learner = None


def _unsaved(learner: LearnerStatus | None) -> list[Problem]:
    if learner is None or learner.save_error is None:
        return []
    return [
        Problem(
            message=f"{learner.save_error}; training goes on from memory",
            action="free some disk; the next checkpoint is tried in any case",
        )
    ]


def _silence(name: str, seconds: float) -> Problem:
    return Problem(
        message=f"{name} has not been heard of for {seconds:.0f} s; its place is given to others",
        action=f"logs/{name}.log may say why; if it hangs, end its process and it is started again",
    )
