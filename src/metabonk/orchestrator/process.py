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
from metabonk.messages import Fleet, Problem
from metabonk.orchestrator import children, go2rtc
from metabonk.orchestrator.cleanup import GameCleanup
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.health import EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.registry import SuspendAwareClock
from metabonk.orchestrator.servers import make_servers, stop_servers
from metabonk.orchestrator.supervisor import ChildState, Supervisor
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

TICK_S = 0.05
DISPLAY_INTERVAL_S = 0.25
GRACE_S = 3.5
"""For the children to end by themselves; the whole stop fits into five seconds."""

CLEANUP_TIMEOUT_S = 1.5


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
    *,
    token: str | None = None,
) -> None:
    """Run the fleet until ``stop`` is set, and end all of it.

    Must be called in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        settings: of the fleet.
        run_dir: folder of the run.
        lock: held; records every process that is started.
        display: shows the fleet.
        stop: ends the fleet.
        token: required of the page's viewers; None if the page is served on loopback.

    Raises:
        MetaBonkError: the fleet can't start, or a child can't use its settings.
    """
    settings_file = save_settings(settings, run_dir)
    pools = open_pools(settings)
    probes = ProbeCache(pools.folder)
    lock.set_settings_path(settings_file)
    with contextlib.ExitStack() as cleanups:
        store = EpisodeStore(run_dir, settings.game)
        cleanups.callback(store.close)
        state = FleetState(settings, store, SuspendAwareClock())
        specs = children.child_specs(
            settings, settings_file, run_dir, pools.inventory.gpus, state.counters
        )
        supervisor = Supervisor(
            [*specs, *go2rtc.child_specs(settings, run_dir)],
            stagger_s=settings.worker.effective_spawn_stagger_s,
            restart_backoff_max_s=settings.worker.restart_backoff_max_s,
            fork_server=children.fork_server(settings),
            on_change=lock.set_children,
        )
        fallback = settings.stream.allow_cpu_fallback
        monitor = HealthMonitor(
            state,
            lambda: measure_capacity(pools, probes, allow_cpu_fallback=fallback),
            lambda: problems(find_problems(settings, pools, probes)),
        )
        servers = make_servers(state, supervisor.restarts, pools, token)
        cleanups.callback(stop_servers, servers)
        cleanup = GameCleanup(children.metabonk("cleanup-games"))
        cleanups.callback(_clean_up, supervisor, cleanup)
        cleanup.request()
        cleanups.callback(supervisor.stop, GRACE_S)
        for server in servers:
            server.start()
        monitor.start()
        cleanups.callback(monitor.close)
        quarantine = EncoderQuarantine(pools, probes)
        next_display = time.monotonic()
        while not stop.is_set():
            _tick(state, supervisor, quarantine, cleanup, monitor)
            if time.monotonic() >= next_display:
                display.show(state.fleet(), supervisor.states())
                next_display = time.monotonic() + DISPLAY_INTERVAL_S
            stop.wait(TICK_S)
        log.info("stopping on request")


def problems(findings: Iterable[Finding]) -> list[Problem]:
    """Return the findings that need an operator, as the page and the terminal show them."""
    return [
        Problem(message=finding.message, action=finding.action)
        for finding in findings
        if finding.action is not None
    ]


def _tick(
    state: FleetState,
    supervisor: Supervisor,
    quarantine: EncoderQuarantine,
    cleanup: GameCleanup,
    monitor: HealthMonitor,
) -> None:
    for report in supervisor.tick():
        state.on_exit(report.name, report.message)
        quarantine.on_exit(report)
        cleanup.request()
    for name, silence_s in monitor.unresponsive().items():
        supervisor.stop_hung(name, f"it has not answered for {silence_s:.0f} s")
    cleanup.tick()
    state.set_problems([*supervisor.problems(), *monitor.problems()])
    go2rtc_runs = supervisor.states().get(go2rtc.NAME) is ChildState.RUNNING
    state.set_go2rtc(go2rtc.address(state.settings) if go2rtc_runs else None)


def _clean_up(supervisor: Supervisor, cleanup: GameCleanup) -> None:
    if supervisor.killed:
        cleanup.request()
    cleanup.close(CLEANUP_TIMEOUT_S)
