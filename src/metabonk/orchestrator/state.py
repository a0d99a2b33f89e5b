"""The fleet as it is now, under one lock: what the routes answer and the terminal shows."""

import threading
import time
from collections.abc import Callable, Sequence

from metabonk.messages import (
    CurvePoint,
    Desired,
    Episode,
    Featured,
    Fleet,
    Heartbeat,
    HeartbeatReply,
    LearnerStatus,
    Problem,
    WorkerStatus,
)
from metabonk.orchestrator.director import Director, Wish, candidates_of
from metabonk.orchestrator.handover import Handover
from metabonk.orchestrator.journal import Journal
from metabonk.orchestrator.registry import Registry
from metabonk.orchestrator.store import Store
from metabonk.orchestrator.tallies import Tallies, including
from metabonk.problems import without_picture
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
        store: Store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.run = run
        self.store = store
        self.journal = Journal()
        self._clock = clock
        self._lock = threading.Lock()
        self._registry = Registry()
        self._tallies = Tallies(store.counted())
        self._director = Director(settings.featured.rotate_s)
        self._handover = Handover()
        self._capacity = 0
        self._learner: LearnerStatus | None = None
        self._problems: list[Problem] = []

    def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatReply:
        """Takes what a worker says; answers what it should be."""
        status, now = heartbeat.status, self._clock()
        with self._lock:
            counted = self._tallies.begin(status)
            self._registry.record(including(status, counted), now)
            candidates = candidates_of(self._registry.fresh(now))
            wishes = self._director.decide(candidates, self._capacity, now)
            wishes = self._handover.apply(wishes, candidates, now)
        self.store.record(heartbeat.episodes)
        wish = wishes.get(
            status.worker_index, Wish(Desired.STANDBY, "streaming is switched off for this worker")
        )
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
                    *(_silence(name, seconds) for name, seconds in silent.items()),
                    *filter(None, map(without_picture, self._registry.known())),
                ],
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
    def capacity(self) -> int:
        """Encoder sessions the fleet may hold."""
        return self._capacity

    def set_capacity(self, sessions: int) -> None:
        """Takes how many encoder sessions there are for this fleet now."""
        with self._lock:
            self._capacity = sessions

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

    def died(self, name: str, because: str) -> None:
        """A process has ended: its place is free at once.

        Args:
            name: of the process.
            because: how, in a sentence for people.
        """
        self.journal.died(name, because)
        with self._lock:
            self._registry.forget(name)
            if name == "learner":
                self._learner = None


def _silence(name: str, seconds: float) -> Problem:
    return Problem(
        what=f"{name} has not been heard of for {seconds:.0f} s; its place is given to others",
        do=f"logs/{name}.log may say why; if it hangs, end its process and it is started again",
    )
