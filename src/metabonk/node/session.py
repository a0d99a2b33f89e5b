"""One epoch of a node: everything that runs from a join until the head is lost."""

import contextlib
import logging
import time
from collections import deque

from fastapi import FastAPI

from metabonk.doctor.quick import find_problems
from metabonk.encoding.capacity import measure_capacity
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.errors import EncodingError, PortInUse, StartError
from metabonk.http.app import make_http_app
from metabonk.http.server import HttpServer
from metabonk.messages.fleet import Fleet
from metabonk.messages.nodes import NodeExit, NodeOrders, NodeReport
from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import Mode
from metabonk.node.head import Head, HeadUnreachable, Membership
from metabonk.node.learner_port import LearnerPort
from metabonk.node.port import NodePort
from metabonk.node.uplink import Uplink
from metabonk.node.workers import NodeWorkers
from metabonk.orchestrator.api import fleet_routes, heartbeat_routes, pool_statuses
from metabonk.orchestrator.fleet.registry import SuspendAwareClock
from metabonk.orchestrator.fleet.roster import Roster
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.process import (
    CLEANUP_TIMEOUT_S,
    DISPLAY_INTERVAL_S,
    GRACE_S,
    TICK_S,
    Display,
    problems,
)
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.cleanup import GameCleanup
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.processes.supervisor import Supervisor
from metabonk.orchestrator.servers import stop_servers
from metabonk.orchestrator.supervision.hang_monitor import HangMonitor
from metabonk.orchestrator.supervision.health import EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.supervision.rounds import Supervision
from metabonk.runs.episode_queue import EpisodeQueue
from metabonk.runs.layout import CHECKPOINT_SUFFIX, CHECKPOINTS_DIR, write_for_children
from metabonk.settings import Settings
from metabonk.system.files import write_atomically
from metabonk.system.log_files import LogRotation
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

SETTINGS_FILE = "settings.json"
CHECKPOINT_FILE = f"of-the-head{CHECKPOINT_SUFFIX}"
MAX_EPISODES_SENT = 1_000
MAX_LOG_BYTES_SENT = 2 << 20
MAX_EXITS = 200


class Session:
    """The workers of a node in one epoch, and all that they need.

    Must be run in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        settings: of the node.
        run: name of the run.
        head: client, for this session alone.
        membership: of the node.
        episodes: finished here and not yet reported, also in earlier epochs.
        lock: held; records every process that is started.
        port: of the node, which leads to the workers.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        head: Head,
        membership: Membership,
        *,
        episodes: EpisodeQueue,
        lock: FleetLock,
        port: NodePort,
    ) -> None:
        self._settings = settings
        self._run = run
        self._membership = membership
        self._episodes = episodes
        self._exits: deque[NodeExit] = deque(maxlen=MAX_EXITS)
        self._exit_count = 0
        self._is_stopped = False
        self._run_dir = run_dir = settings.paths.runs / run
        settings_file = write_for_children(settings, run_dir / SETTINGS_FILE)
        lock.set_settings_path(settings_file)
        self._pools = open_pools(settings)
        self._probes = ProbeCache(self._pools.folder)
        self._clock = SuspendAwareClock()
        roster = Roster(settings, here=())
        self.state = FleetState(
            settings, None, self._clock, roster=roster, on_episodes=episodes.extend
        )
        self._rotation = LogRotation(children.log_files(settings, ()))
        fork_server = children.fork_server(settings)
        self._supervisor = Supervisor(
            (),
            stagger_s=settings.worker.effective_spawn_stagger_s,
            restart_backoff_max_s=settings.worker.restart_backoff_max_s,
            fork_server=fork_server,
            on_change=lock.set_children,
        )
        self._cleanup = GameCleanup(children.metabonk("cleanup-games"))
        self._workers = NodeWorkers(
            settings,
            settings_file,
            run_dir,
            self.state,
            self._supervisor,
            self._rotation,
            self._pools.inventory.gpus,
        )
        fallback = settings.stream.allow_cpu_fallback
        self._health = HealthMonitor(
            self.state,
            lambda: measure_capacity(self._pools, self._probes, allow_cpu_fallback=fallback),
            lambda: [*lock.keep(), *problems(find_problems(settings, self._pools, self._probes))],
        )
        self._hangs = HangMonitor(self.state, self._clock)
        self._head = head
        is_training = settings.mode is Mode.TRAIN
        self._learner = LearnerPort(head, membership) if is_training else None
        self._uplink = Uplink(head, membership, self._compose, self._on_orders)
        self._supervision = Supervision(
            self.state,
            self._supervisor,
            EncoderQuarantine(self._pools, self._probes),
            self._health,
            self._hangs,
            parts=(self._workers, self._cleanup, _Problems(self._uplink)),
            threads=(),
            on_exit=self._on_exit,
        )
        port.show(roster, settings.paths.logs)

    def run(self, stop: StopSignal, display: Display) -> str | None:
        """Run until the head is lost, and end all of it; return why, or None if it is to stop.

        Raises:
            MetaBonkError: it can't start.
        """
        internal, ports = self._settings.internal_host, self._settings.ports
        servers = [HttpServer(self._api(), internal, ports.orchestrator)]
        if self._learner is None and (reason := self._fetch_checkpoint()) is not None:
            return reason
        with contextlib.ExitStack() as cleanups:
            # The last to end: until its workers have ended, the head must not think that they have.
            cleanups.callback(self._uplink.close)
            cleanups.callback(stop_servers, servers)
            cleanups.callback(self._clean_up)
            cleanups.callback(self._supervisor.stop, GRACE_S)
            self._cleanup.request()
            servers[0].start()
            if self._learner is not None:
                servers.append(HttpServer(self._learner.app, internal, ports.learner))
                try:
                    servers[-1].start()
                except PortInUse as error:
                    # Another agent of this machine was faster; there are others.
                    return str(error)
            stop.watch_threads(revived=(self._health.name, self._hangs.name))
            if self._learner is not None:
                cleanups.callback(self._learner.close)
                self._learner.start()
            for thread in (self._health, self._hangs, self._rotation):
                thread.start()
                cleanups.callback(thread.close)
            self._uplink.start()
            return self._supervise(stop, display)

    def _fetch_checkpoint(self) -> str | None:
        """Get what the workers play with; return why it can't be had now.

        Raises:
            StartError: it can't be written.
        """
        folder = self._run_dir / CHECKPOINTS_DIR
        try:
            checkpoint = self._head.checkpoint(self._membership)
            folder.mkdir(exist_ok=True)
            write_atomically(folder / CHECKPOINT_FILE, checkpoint)
        except HeadUnreachable as error:
            return f"the checkpoint can't be had from the head: {error}"
        except OSError as error:
            raise StartError(
                f"can't write the checkpoint into {folder}: {error.strerror}; free some disk space"
            ) from None
        return None

    def _supervise(self, stop: StopSignal, display: Display) -> str | None:
        next_display = time.monotonic()
        while not stop.is_set() and not self._is_stopped:
            if (reason := self._uplink.why_lost()) is not None:
                log.warning("%s: the workers of this node end", reason)
                return reason
            self._supervision.tick()
            if time.monotonic() >= next_display:
                display.show(self._fleet(), self._supervisor.states())
                next_display = time.monotonic() + DISPLAY_INTERVAL_S
            stop.wait(TICK_S)
        stop.raise_failure()
        return None

    def _fleet(self) -> Fleet:
        """Return what the terminal shows."""
        told = {"run": self._run, "game": self._settings.game, "mode": self._settings.mode}
        return self.state.fleet().model_copy(update=told)

    def _api(self) -> FastAPI:
        """Return the application that this node's workers take for the orchestrator."""
        app = make_http_app("MetaBonk node, orchestrator")
        app.include_router(heartbeat_routes(self.state))
        app.include_router(fleet_routes(self.state, lambda: pool_statuses(self._pools)))
        return app

    def _compose(self) -> NodeReport:
        """Return a report; called by the uplink."""
        return NodeReport(
            head=self._membership.head,
            epoch=self._membership.epoch,
            clock=time.time(),
            running=self._workers.held(),
            statuses=self.state.fresh(),
            episodes=self._episodes.oldest(MAX_EPISODES_SENT, MAX_LOG_BYTES_SENT),
            sessions=self._sessions(),
            featured=self.state.featured(),
            problems=self.state.machine_problems(),
            exits=list(self._exits),
        )

    def _on_orders(self, orders: NodeOrders, report: NodeReport) -> None:
        """Take the answer to a report; called by the uplink."""
        self._episodes.remove(report.episodes)
        reported = {each.number for each in report.exits}
        while self._exits and self._exits[0].number in reported:
            self._exits.popleft()
        self._workers.order(orders.workers)
        self._is_stopped = orders.stopping

    def _on_exit(self, report: ExitReport) -> None:
        self._cleanup.request()
        self._exits.append(
            NodeExit(number=self._exit_count, name=report.name, message=report.message)
        )
        self._exit_count += 1

    def _sessions(self) -> list[PoolStatus]:
        try:
            return pool_statuses(self._pools)
        except EncodingError:
            return []  # The health monitor reports it.

    def _clean_up(self) -> None:
        if self._supervisor.killed:
            self._cleanup.request()
        self._cleanup.close(CLEANUP_TIMEOUT_S)


class _Problems:
    """Problems of the uplink, as a part that has nothing to do."""

    def __init__(self, uplink: Uplink) -> None:
        self.problems = uplink.problems

    def tick(self) -> None:
        """Do nothing."""
