"""The nodes of a fleet: the head's side of joins and reports, and what it makes of them."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from metabonk.messages.base import Problem
from metabonk.messages.fleet import NodeStatus
from metabonk.messages.nodes import (
    WORKERS_PATH,
    Grant,
    JoinReply,
    JoinRequest,
    NodeOrders,
    NodeReport,
)
from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import WorkerStatus, instance_id
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.nodes.clocks import CLOCKS_AGREE_S, clock_problems
from metabonk.orchestrator.nodes.table import VOID_AFTER_S, Node, NodeTable, StaleEpoch
from metabonk.orchestrator.processes.supervisor import ChildState

log = logging.getLogger(__name__)

TICK_S = 0.25
"""Rounds of supervision are more frequent; reports come twice a second."""

FAREWELL_S = 1.5
"""For all nodes to be told that the fleet stops: three reports."""


ABSENCE_SHOWN_S = 60.0
"""As long as an agent tries to join; whoever starts it looks at the page meanwhile."""

MAX_ABSENCES = 100


@dataclass(slots=True)
class _Told:
    """Reports of a node about itself in its epoch.

    Attributes:
        problems: of its machine and its processes.
        sessions: of its encoders.
        clock_ahead_s: of this machine's.
        last_exit: number of the last exit that was taken note of.
        starts: number that each worker's starts follow, by index.
        knows_stop: it was told that the fleet stops.
    """

    problems: list[Problem] = field(default_factory=list)
    sessions: list[PoolStatus] = field(default_factory=list)
    clock_ahead_s: float = 0.0
    last_exit: int = -1
    starts: dict[int, int] = field(default_factory=dict)
    knows_stop: bool = False


class Nodes:
    """Nodes and their workers. Thread-safe; ``tick`` belongs to the supervising thread.

    Args:
        state: of the fleet, whose roster learns where each worker is.
        run: name of the run.
        settings: of the fleet, for agents.
        token: shared with the agents.
        how_to_join: command for another machine, and its file.
        clock: monotonic seconds, without times when this process was suspended.

    Attributes:
        head: random, of this start.
        token: shared with the agents.
    """

    def __init__(
        self,
        state: FleetState,
        run: str,
        settings: dict[str, Any],
        token: str,
        *,
        how_to_join: str,
        clock: Callable[[], float],
    ) -> None:
        self.head = secrets.token_hex(8)
        self.token = token
        self._state = state
        self._run = run
        self._settings = settings
        self._how_to_join = how_to_join
        self._clock = clock
        self._lock = threading.Lock()
        self._table = NodeTable(state.settings.workers, state.settings.nodes.count)
        self._told: dict[str, _Told] = {}
        self._absences: dict[str, tuple[str, float]] = {}
        self._stopping = False
        self._ticked_at = float("-inf")
        self._all_told = threading.Event()

    def join(self, request: JoinRequest, url: str) -> JoinReply:
        """Take an agent in.

        Args:
            request: of the agent.
            url: of its port, which answers.

        Raises:
            NodeRefused: another agent has its name.
        """
        with self._lock:
            epoch = self._table.join(request, url, self._clock())
            self._told[request.node] = _Told()
            self._absences.pop(request.node, None)
            given = self._table.orders(self._table.nodes[request.node])
        for index in given:
            # What an earlier agent said of them, whose processes have ended.
            self._state.forget(instance_id(index))
        cores, sessions = request.resources.cores, request.resources.sessions
        log.info(
            "node %s joined from %s as epoch %d: %d cores, %d GPUs, %d encoder sessions",
            *(request.node, url, epoch, cores, len(request.resources.gpus), sessions),
        )
        return JoinReply(run=self._run, head=self.head, epoch=epoch, settings=self._settings)

    def report(self, name: str, report: NodeReport) -> NodeOrders:
        """Take an agent's report; return what it is to do.

        Raises:
            StaleEpoch: it was taken for dead; it must join anew.
        """
        now = self._clock()
        with self._lock:
            node = self._require(name, report.head, report.epoch)
            told = self._told[name]
            self._table.hear(node, report.running, now)
            wanted = self._table.orders(node)
            told.problems, told.sessions = report.problems, report.sessions
            told.clock_ahead_s = report.clock - time.time()
            exits = [each for each in report.exits if each.number > told.last_exit]
            told.last_exit = max((each.number for each in exits), default=told.last_exit)
            for index in wanted:
                # No two starts of a worker have the same number, on whichever nodes.
                told.starts.setdefault(index, time.time_ns() // 1_000_000)
            stopping = self._stopping
            told.knows_stop = stopping
        statuses = [each for each in report.statuses if self._is_of(each, wanted)]
        skew_s = told.clock_ahead_s if abs(told.clock_ahead_s) >= CLOCKS_AGREE_S else 0.0
        episodes = [
            each.model_copy(update={"ended_at": each.ended_at - skew_s}) if skew_s else each
            for each in report.episodes
            if each.worker_index < self._state.settings.workers
        ]
        self._state.take_report(name, statuses, report.featured, episodes)
        for each in exits:
            self._state.on_exit(each.name, f"{each.message} (on node {name})")
        if stopping:
            self._note_farewells()
            return NodeOrders(workers=[], clock=time.time(), stopping=True)
        grants = [self._grant(index, told) for index in wanted]
        return NodeOrders(workers=grants, clock=time.time())

    def require(self, name: str, head: str, epoch: int) -> None:
        """Refuse a message of another epoch.

        Raises:
            StaleEpoch: the sender must join anew.
        """
        with self._lock:
            self._require(name, head, epoch)

    def leave(self, name: str, head: str, epoch: int, failure: str = "") -> None:
        """Let an agent go whose workers have ended.

        Args:
            name: of its node.
            head: that it joined.
            epoch: that it was given.
            failure: that ended it; empty if it was asked to stop.

        Raises:
            StaleEpoch: it is not in the fleet.
        """
        with self._lock:
            self._require(name, head, epoch)
            self._table.leave(name)
            del self._told[name]
        log.info("node %s left%s", name, f": {failure}" if failure else "")
        if failure:
            self.note_absence(name, failure)

    def note_absence(self, name: str, reason: str) -> None:
        """Report for a while why a node is not in the fleet."""
        with self._lock:
            self._absences.pop(name, None)
            self._absences[name] = reason, self._clock()
            if len(self._absences) > MAX_ABSENCES:
                del self._absences[next(iter(self._absences))]

    def tick(self) -> None:
        """Give the workers of nodes that are gone to others, and tell where each is."""
        now = self._clock()
        if now - self._ticked_at < TICK_S:
            return
        self._ticked_at = now
        with self._lock:
            for node in self._table.expire(now):
                log.warning(
                    "node %s has been silent for %.0f s: its epoch %d is void and its workers "
                    "are given to others",
                    *(node.name, node.silence_s(now), node.epoch),
                )
            statuses = list(self._statuses(now))
            addresses = {
                index: self._address(node, index)
                for node in self._table.nodes.values()
                for index in self._table.orders(node)
            }
            lost = {status.node for status in statuses if status.state == "lost"}
        self._state.set_nodes(statuses)
        for index in range(self._state.settings.workers):
            self._move(index, addresses.get(index), lost)

    def problems(self) -> list[Problem]:
        """Report nodes that are missing or silent, and what nodes say of themselves."""
        now = self._clock()
        with self._lock:
            return [
                *self._missing(),
                *self._absent(now),
                *self._silences(now),
                *self._reported(now),
            ]

    def sessions(self) -> list[PoolStatus]:
        """Return the encoder sessions of every node that answers."""
        now = self._clock()
        with self._lock:
            return [
                pool.model_copy(update={"node": node.name})
                for node in self._by_name()
                if node.state(now) != "lost"
                for pool in self._told[node.name].sessions
            ]

    def processes(self) -> dict[str, ChildState]:
        """Return the state of every worker, as of a child of this machine, by name."""
        now = self._clock()
        with self._lock:
            present = [node for node in self._by_name() if node.state(now) != "lost"]
            given = {index for node in present for index in self._table.orders(node)}
        return {
            instance_id(index): ChildState.RUNNING if index in given else ChildState.WAITING
            for index in range(self._state.settings.workers)
        }

    def close(self) -> None:
        """Tell all nodes that the fleet stops; waits a moment for those that answer."""
        with self._lock:
            self._stopping = True
        self._note_farewells()
        self._all_told.wait(FAREWELL_S)

    def _require(self, name: str, head: str, epoch: int) -> Node:
        if head != self.head:
            raise StaleEpoch
        return self._table.require(name, epoch)

    def _note_farewells(self) -> None:
        now = self._clock()
        with self._lock:
            present = [node for node in self._by_name() if node.state(now) == "present"]
            if all(self._told[node.name].knows_stop for node in present):
                self._all_told.set()

    def _is_of(self, status: WorkerStatus, wanted: Iterable[int]) -> bool:
        return status.worker_index in wanted and self._state.roster.matches(status)

    def _grant(self, index: int, told: _Told) -> Grant:
        step, episode = self._state.counters(index)
        return Grant(worker_index=index, step=step, episode=episode, start=told.starts[index])

    def _address(self, node: Node, index: int) -> WorkerAddress:
        url = f"{node.url}{WORKERS_PATH}/{instance_id(index)}"
        return WorkerAddress(url, (("Authorization", f"Bearer {self.token}"),), node.name)

    def _move(self, index: int, address: WorkerAddress | None, lost: set[str]) -> None:
        """Tell where a worker is, and forget what was said of it elsewhere."""
        name = instance_id(index)
        member = self._state.roster.find(name)
        assert member is not None, "workers of a fleet stay in its roster"
        if member.address != address:
            self._state.roster.move(name, address)
            self._state.forget(name)
        elif address is not None and address.node in lost:
            self._state.forget(name)

    def _by_name(self) -> list[Node]:
        return [self._table.nodes[name] for name in sorted(self._table.nodes)]

    def _statuses(self, now: float) -> Iterator[NodeStatus]:
        for node in self._by_name():
            yield NodeStatus(
                node=node.name,
                state=node.state(now),
                address=node.url,
                cores=node.resources.cores,
                gpus=node.resources.gpus,
                sessions=node.resources.sessions,
                workers=[instance_id(index) for index in self._table.orders(node)],
            )

    def _missing(self) -> Iterator[Problem]:
        if missing := self._table.missing():
            come = ", ".join(sorted(self._table.nodes)) or "none"
            of = f"{missing} of {self._table.expected} nodes"
            yield Problem(
                message=f"waiting for {of} before any worker plays; come so far: {come}",
                action=f"on each machine that is to play, run {self._how_to_join}",
            )

    def _absent(self, now: float) -> Iterator[Problem]:
        for name, (reason, noted_at) in self._absences.items():
            if now - noted_at < ABSENCE_SHOWN_S:
                yield Problem(
                    message=f"node {name} can't join: {reason}",
                    action="start its agent again once that is mended, if it has ended",
                )

    def _silences(self, now: float) -> Iterator[Problem]:
        for node in self._by_name():
            if (state := node.state(now)) == "present":
                continue
            silence_s = node.silence_s(now)
            what = f"node {node.name} ({node.url}) is {state}: no report for {silence_s:.0f} s"
            fate = "its workers were given to others"
            if not node.is_void:
                fate = f"its workers go to others in {max(0.0, VOID_AFTER_S - silence_s):.0f} s"
            yield Problem(message=f"{what}; {fate}", action="it joins again once it can")

    def _reported(self, now: float) -> Iterator[Problem]:
        for node in self._by_name():
            if node.state(now) == "lost":
                continue
            told = self._told[node.name]
            for problem in told.problems:
                yield problem.model_copy(update={"message": f"node {node.name}: {problem.message}"})
            yield from clock_problems(f"node {node.name}", told.clock_ahead_s)
