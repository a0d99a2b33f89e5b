"""The orchestrator process: one fleet from its start to its clean end."""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from metabonk.doctor.host import Finding
from metabonk.doctor.quick import find_problems
from metabonk.encoding.capacity import measure_capacity
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Fleet
from metabonk.orchestrator.alerts.thread import Alerts
from metabonk.orchestrator.fleet.event_file import NAME as EVENTS
from metabonk.orchestrator.fleet.event_file import EventFile
from metabonk.orchestrator.fleet.event_log import EventLog
from metabonk.orchestrator.fleet.registry import SuspendAwareClock
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.guests.processes import Guests
from metabonk.orchestrator.guests.ring_finder import RingFinder
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.nodes.head import Nodes
from metabonk.orchestrator.processes import children, go2rtc, ray_agents
from metabonk.orchestrator.processes.cleanup import GameCleanup
from metabonk.orchestrator.processes.supervisor import ChildState, Supervisor
from metabonk.orchestrator.program.air import Transmission
from metabonk.orchestrator.program.process import Program
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_servers, stop_servers
from metabonk.orchestrator.supervision.hang_monitor import HangMonitor
from metabonk.orchestrator.supervision.health import EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.supervision.rounds import Supervision
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.runs.pruning import hold_run
from metabonk.settings import Settings
from metabonk.settings.commands import command
from metabonk.settings.load import settings_values
from metabonk.settings.nodes import TOKEN_FILE
from metabonk.system.log_files import LogRotation
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

TICK_S = 0.05
DISPLAY_INTERVAL_S = 0.25
GRACE_S = 3.5
"""For the children to end by themselves, so that the whole stop fits into five seconds."""

CLEANUP_TIMEOUT_S = 4.0
"""For the cleanup after children that did not. It takes a second, more on a busy machine."""


class Display(Protocol):
    """Shows the fleet on a terminal."""

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Show the current state; called several times a second."""
        ...


def run(
    settings: Settings,
    run_dir: Path,
    lock: FleetLock,
    display: Display,
    stop: StopSignal,
    election: Election,
    *,
    page: str,
    token: str | None = None,
    node_token: str | None = None,
) -> None:
    """Run the fleet until ``stop`` is set, and end all of it.

    Must be called in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        settings: of the fleet.
        run_dir: folder of the run.
        lock: held; records every process that is started.
        display: shows the fleet.
        stop: ends the fleet.
        election: of the process that shows environments of other trainers.
        page: address of the page, with the token if that is required.
        token: required of the page's viewers; None if the page is served on loopback.
        node_token: required of nodes; None where workers play on this machine.

    Raises:
        MetaBonkError: the fleet can't start, or a child can't use its settings.
    """
    settings_file = save_settings(settings, run_dir)
    pools = open_pools(settings)
    probes = ProbeCache(pools.folder)
    lock.set_settings_path(settings_file)
    with contextlib.ExitStack() as cleanups:
        cleanups.enter_context(hold_run(run_dir))
        store = EpisodeStore(
            run_dir, settings.game, max_log_bytes=settings.replays.keep_mb * 1_000_000
        )
        cleanups.callback(store.close)
        if go2rtc.is_used(settings):
            cleanups.callback(go2rtc.socket_path(settings).unlink, missing_ok=True)
        clock = SuspendAwareClock()
        event_file = EventFile(settings.paths.logs / EVENTS)
        state = FleetState(settings, store, clock, events=EventLog(file=event_file))
        gpus = pools.inventory.gpus
        head = page.partition("/?")[0]
        specs = [
            *children.child_specs(settings, settings_file, run_dir, gpus, state.counters),
            *go2rtc.child_specs(settings),
            *ray_agents.child_specs(settings, head, node_token),
        ]
        rotation = LogRotation(children.log_files(settings, specs))
        fork_server = children.fork_server(settings)
        supervisor = Supervisor(
            specs,
            stagger_s=settings.worker.effective_spawn_stagger_s,
            restart_backoff_max_s=settings.worker.restart_backoff_max_s,
            fork_server=fork_server,
            on_change=lock.set_children,
        )
        fallback = settings.stream.allow_cpu_fallback
        health = HealthMonitor(
            state,
            lambda: measure_capacity(pools, probes, allow_cpu_fallback=fallback),
            lambda: [*lock.keep(), *problems(find_problems(settings, pools, probes))],
        )
        finder = RingFinder(election)
        guests = Guests(
            finder,
            state,
            supervisor,
            rotation,
            settings_file=settings_file,
            folder=run_dir,
            gpus=gpus,
        )
        program = Program(state, supervisor, rotation, settings_file=settings_file, folder=run_dir)
        transmission = Transmission(
            state.on_air,
            settings,
            supervisor,
            rotation,
            settings_file=settings_file,
            folder=run_dir,
        )
        cleanup = GameCleanup(children.metabonk("cleanup-games"))
        replays = make_replays(settings, fork_server, cleanup.request)
        nodes = None
        if node_token is not None:
            nodes = make_nodes(state, run_dir, node_token, clock, head)
        servers = make_servers(state, supervisor.restarts, pools, replays, token, nodes)
        cleanups.callback(stop_servers, servers)
        cleanups.callback(_clean_up, supervisor, cleanup)
        cleanup.request()
        cleanups.callback(supervisor.stop, GRACE_S)
        cleanups.callback(replays.close)
        for server in servers:
            server.start()
        if nodes is not None:
            cleanups.callback(nodes.close)
        election.announce(page)
        hangs = HangMonitor(state, clock)
        alerts = Alerts(state, supervisor.restarts, run_dir.name)
        revived = (health, hangs, replays, finder, alerts, event_file)
        stop.watch_threads(revived=[thread.name for thread in revived])
        replays.start()
        for thread in (event_file, health, hangs, rotation, finder, alerts):
            thread.start()
            cleanups.callback(thread.close)
        supervision = Supervision(
            state,
            supervisor,
            EncoderQuarantine(pools, probes),
            health,
            hangs,
            parts=(
                *(replays, cleanup, guests, program, transmission, alerts),
                *((nodes,) if nodes is not None else ()),
            ),
            threads=(replays, finder, alerts, event_file),
            on_exit=lambda report: cleanup.request(),
        )
        next_display = time.monotonic()
        while not stop.is_set():
            supervision.tick()
            if time.monotonic() >= next_display:
                elsewhere = nodes.processes() if nodes is not None else {}
                display.show(state.fleet(), supervisor.states() | elsewhere)
                next_display = time.monotonic() + DISPLAY_INTERVAL_S
            stop.wait(TICK_S)
        stop.raise_failure()
        log.info("stopping on request")


def make_nodes(
    state: FleetState, run_dir: Path, token: str, clock: SuspendAwareClock, head: str
) -> Nodes:
    """Return the nodes of a fleet on many machines.

    Args:
        state: of the fleet.
        run_dir: folder of the run.
        token: of the nodes.
        clock: monotonic seconds.
        head: address of the page, without the viewers' token.
    """
    file = state.settings.nodes.token_file or state.settings.paths.runs / TOKEN_FILE
    return Nodes(
        state,
        run_dir.name,
        settings_values(state.settings),
        token,
        how_to_join=f"'{command('join', head)} --token-file F' with a copy of {file} as F",
        clock=clock,
    )


def problems(findings: Iterable[Finding]) -> list[Problem]:
    """Return the findings that need an operator, as the page and the terminal show them."""
    return [
        Problem(message=finding.message, action=finding.action)
        for finding in findings
        if finding.action is not None
    ]


def _clean_up(supervisor: Supervisor, cleanup: GameCleanup) -> None:
    if supervisor.killed:
        cleanup.request()
    cleanup.close(CLEANUP_TIMEOUT_S)
