"""Current state of the fleet under one lock, as the routes and the terminal show it."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from metabonk.encoding.capacity import Capacity
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Featured, Fleet, NodeStatus, Start
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.nodes import WORKERS_PATH
from metabonk.messages.workers import (
    Counters,
    DesiredState,
    EpisodeReport,
    Heartbeat,
    HeartbeatReply,
    StreamState,
    WorkerStatus,
    no_video,
)
from metabonk.orchestrator.fleet.director import Assignment, Director, candidates_of
from metabonk.orchestrator.fleet.event_log import EventLog
from metabonk.orchestrator.fleet.handover import Handover
from metabonk.orchestrator.fleet.incidents import Incidents
from metabonk.orchestrator.fleet.on_air import OnAir
from metabonk.orchestrator.fleet.program_demand import ProgramDemand
from metabonk.orchestrator.fleet.registry import Registry
from metabonk.orchestrator.fleet.roster import Roster
from metabonk.orchestrator.fleet.viewers import Viewers
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings

LEARNER = "learner"
"""Name of its process."""

GONE = Assignment(DesiredState.STANDBY, "its trainer is gone")
STREAMING_OFF = Assignment(DesiredState.STANDBY, "streaming is switched off (stream.enabled)")


class FleetState:
    """State of the fleet. Thread-safe.

    Args:
        settings: of the fleet, or of the hub.
        store: receives finished episodes; None in a hub and on a node, which have no run.
        clock: monotonic seconds.
        roster: of the workers; None: those of the fleet, from the beginning.
        on_episodes: receives them where there is no store.
        events: for viewers; None: a log in memory.

    Attributes:
        events: for viewers.
        roster: of the workers.
        incidents: what somebody should be woken for.
        on_air: what goes on air.
        program: who wants the program, and where it is served.
        viewers: of their streams.
    """

    def __init__(
        self,
        settings: Settings,
        store: EpisodeStore | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        roster: Roster | None = None,
        on_episodes: Callable[[Sequence[EpisodeReport]], None] = lambda episodes: None,
        events: EventLog | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.events = events or EventLog()
        self._clock = clock
        self._lock = threading.Lock()
        self.roster = roster or Roster(settings)
        self.program = ProgramDemand()
        self.incidents = Incidents()
        self.on_air = OnAir(settings.air.to)
        self._record = on_episodes if store is None else store.record
        self.viewers = Viewers()
        self._registry = Registry() if store is None else Registry(store.counters())
        self._director = Director(settings.featured.rotate_s)
        self._handover = Handover()
        self._capacity = Capacity()
        self._learner: LearnerStatus | None = None
        self._problems: list[Problem] = []
        self._starting: Mapping[str, Start] = {}
        self._go2rtc: str | None = None
        self._nodes: Sequence[NodeStatus] = ()
        self._featured: dict[str, Featured] = {}

    def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatReply:
        """Take the report of a worker of this machine; return the state it should be in."""
        status, now = heartbeat.status, self._clock()
        with self._lock:
            seats = self.roster.seats()
            if not self.roster.matches(status) or status.instance_id not in seats:
                return HeartbeatReply(desired=GONE.desired, reason=GONE.reason)
            self._registry.record(status, now)
            candidates = candidates_of(self._registry.fresh(now), seats)
            assignments = self._director.decide(candidates, self._capacity, now)
            assignments = self._handover.apply(assignments, candidates, self._capacity, now)
        assignment = assignments.get(seats[status.instance_id], STREAMING_OFF)
        refused = assignment.desired is DesiredState.STANDBY and assignment is not STREAMING_OFF
        self._record(heartbeat.episodes)
        self.events.on_status(status, assignment.reason, refused=refused)
        self.events.on_episodes(heartbeat.episodes)
        return HeartbeatReply(desired=assignment.desired, reason=assignment.reason)

    def take_report(
        self,
        node: str,
        statuses: Sequence[WorkerStatus],
        featured: Featured,
        episodes: Sequence[EpisodeReport],
    ) -> None:
        """Take what a node says of the workers that it has been given, whom its agent directs."""
        statuses = [self._as_seen_here(status, node) for status in statuses]
        now = self._clock()
        with self._lock:
            for status in statuses:
                self._registry.record(status, now)
            self._featured[node] = featured
        self._record(episodes)
        for status in statuses:
            self.events.on_status(status, status.stream_error or "others have their turn")
        self.events.on_episodes(episodes)

    def set_counters(self, worker_index: int, counters: Counters) -> None:
        """Set where the first process of a worker on this node continues to count."""
        with self._lock:
            self._registry.set_counters(worker_index, counters)

    def counters(self, worker_index: int) -> Counters:
        """Return where the next process of a worker continues to count."""
        with self._lock:
            return self._registry.counters(worker_index)

    def workers(self) -> dict[str, WorkerStatus]:
        """Return the last status of every worker that runs, by instance id."""
        with self._lock:
            return {status.instance_id: status for status in self._registry.running()}

    def fresh(self) -> list[WorkerStatus]:
        """Return the status of every worker that was heard from lately."""
        with self._lock:
            return self._registry.fresh(self._clock())

    def machine_problems(self) -> list[Problem]:
        """Return the problems but for those that statuses tell."""
        with self._lock:
            return [*self._problems, *self._silences()]

    def fleet(self) -> Fleet:
        """Return what the page's first screen and the terminal show."""
        store = self.store
        unsaved = [] if store is None else store.problems()
        with self._lock:
            running = self._registry.running()
            return Fleet(
                run=None if store is None else store.run,
                game=None if store is None else self.settings.game,
                mode=None if store is None else self.settings.mode,
                workers={status.instance_id: status for status in self._registry.known()},
                starting=self._awaited(running),
                pin=self.program.pin,
                viewers=self.viewers.count(running),
                learner=self._learner,
                problems=[*self._problems, *unsaved, *self._status_problems()],
                nodes=list(self._nodes),
                go2rtc=self._go2rtc,
            )

    def featured(self) -> Featured:
        """Return the live workers and the one that follows, of this machine and all nodes."""
        now = self._clock()
        with self._lock:
            candidates = candidates_of(self._registry.fresh(now), self.roster.seats())
            schedule = self._director.schedule(candidates, now)
            elsewhere = list(self._featured.values())
        here = Featured(
            live=[self.roster.name_of(seat) for seat in schedule.live],
            rotate_s=self.settings.featured.rotate_s,
            next=None if schedule.next is None else self.roster.name_of(schedule.next),
            next_in_s=schedule.next_in_s,
        )
        return join_schedules([here, *elsewhere])

    def silent(self) -> dict[str, float]:
        """Return the seconds of silence of workers whose heartbeat is overdue, by instance id."""
        with self._lock:
            return self._registry.silent(self._clock())

    @property
    def capacity(self) -> Capacity:
        """Encoder sessions that the fleet may hold."""
        return self._capacity

    def set_capacity(self, capacity: Capacity) -> None:
        """Set the encoder sessions that the fleet may hold."""
        with self._lock:
            self._capacity = capacity

    def set_learner(self, status: LearnerStatus | None) -> None:
        """Set the learner's status; None while it doesn't answer."""
        with self._lock:
            self._learner = status

    def set_problems(self, problems: Sequence[Problem]) -> None:
        """Set the problems of processes and of the machine."""
        with self._lock:
            self._problems = list(problems)

    def set_nodes(self, nodes: Sequence[NodeStatus]) -> None:
        """Set the nodes of the fleet; a node that isn't present features no worker."""
        present = {each.node for each in nodes if each.state == "present"}
        with self._lock:
            self._nodes = nodes
            self._featured = {
                node: featured for node, featured in self._featured.items() if node in present
            }

    def set_starting(self, starts: Mapping[str, Start]) -> None:
        """Set what is awaited of each process that may not answer yet, by name."""
        with self._lock:
            self._starting = starts

    def set_go2rtc(self, address: str | None) -> None:
        """Set the address of go2rtc's page; None while it doesn't run."""
        with self._lock:
            self._go2rtc = address

    def on_exit(self, name: str, message: str) -> None:
        """Free the place of a process that has ended.

        Args:
            name: of the process.
            message: how it ended.
        """
        self.events.on_exit(name, message)
        with self._lock:
            self._registry.end(name, message)
            if name == LEARNER:
                self._learner = None

    def forget(self, name: str) -> None:
        """Forget what a worker said, which is elsewhere now, or nowhere."""
        with self._lock:
            self._registry.forget(name)

    def remove(self, name: str) -> None:
        """Forget a guest, or a worker of this node, that is gone for good."""
        member = self.roster.find(name)
        assert member is not None, "each is removed once"
        with self._lock:
            self.roster.remove(name)
            self._registry.forget(name)
            self._director.forget(member.seat)
            self._handover.forget(member.seat)
        self.events.on_left(name)

    def _awaited(self, running: Iterable[WorkerStatus]) -> dict[str, Start]:
        answering = {status.instance_id for status in running}
        awaited = {name for name in self._starting if self.roster.find(name)} - answering
        if self._learner is None:
            awaited.add(LEARNER)
        return {name: start for name, start in self._starting.items() if name in awaited}

    def _as_seen_here(self, status: WorkerStatus, node: str) -> WorkerStatus:
        """Return the status of a worker of a node, with an address that leads there from here."""
        api = self.settings.internal_authority(self.settings.ports.orchestrator)
        url = f"http://{api}{WORKERS_PATH}/{status.instance_id}/stream.mp4"
        return status.model_copy(update={"node": node, "stream_url": url})

    def _status_problems(self) -> Iterator[Problem]:
        if self._learner is not None and self._learner.save_error is not None:
            yield _unsaved(self._learner.save_error)
        yield from self._silences()
        for status in self._registry.running():
            if status.stream_state is StreamState.ERROR:
                yield no_video(status)

    def _silences(self) -> Iterator[Problem]:
        here = self.roster.seats()
        for name, silence_s in self._registry.silent(self._clock()).items():
            if name in here:  # Of a node, only its agent knows.
                yield _silent(name, silence_s)


def join_schedules(schedules: Iterable[Featured]) -> Featured:
    """Return one schedule of machines whose workers don't compete; at least one is given."""
    first, *others = schedules
    coming = [each for each in (first, *others) if each.next is not None]
    soonest = min(
        coming,
        key=lambda each: math.inf if each.next_in_s is None else each.next_in_s,
        default=first,
    )
    live = [name for each in (first, *others) for name in each.live]
    return soonest.model_copy(update={"live": live})


def _unsaved(error: str) -> Problem:
    return Problem(
        message=f"{error}; training continues in memory",
        action="free some disk space; the next checkpoint is tried automatically",
    )


def _silent(name: str, silence_s: float) -> Problem:
    return Problem(
        message=f"{name} has sent no heartbeat for {silence_s:.0f} s; its place goes to others",
        action=f"see logs/{name}.log; a worker that hangs is restarted automatically",
    )
