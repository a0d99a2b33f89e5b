"""The orchestrator process: one fleet from its start to its clean end."""

import contextlib
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fastapi import FastAPI

from metabonk.doctor.host import Finding
from metabonk.doctor.quick import find_problems
from metabonk.encoding.capacity import capacity
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pools, open_pools
from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.http.app import make_http_app
from metabonk.http.server import HttpServer
from metabonk.messages import Fleet, Mode, Problem
from metabonk.orchestrator import go2rtc
from metabonk.orchestrator.api import (
    api_routes,
    episodes_unreadable,
    event_routes,
    heartbeat_routes,
    history_routes,
    no_such_run,
    pool_statuses,
)
from metabonk.orchestrator.cleanup import GameCleanup
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.gateway import Gateway
from metabonk.orchestrator.health import EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.page import Page
from metabonk.orchestrator.registry import SuspendAwareClock
from metabonk.orchestrator.supervisor import ChildSpec, ChildState, Supervisor
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

TICK_S = 0.05
SHOW_EVERY_S = 0.25
GRACE_S = 3.5
"""For the children to end by themselves; together with what follows it fits into five seconds."""

SWEEP_TIMEOUT_S = 1.5


class Display(Protocol):
    """Shows the fleet on a terminal."""

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Called several times a second."""
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
    """Runs the fleet until ``stop``, and ends all of it.

    Must be called in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        settings: of the fleet.
        run_dir: folder of the run.
        lock: held; learns of every process that is started.
        display: shows the fleet.
        stop: asks it to end.
        token: what viewers of the page have to know; None where it is served on loopback.

    Raises:
        MetaBonkError: it can't start, or a child can't be used as it is set up.
    """
    settings_file = save_settings(settings, run_dir)
    pools = open_pools(settings)
    lock.set_settings_path(settings_file)
    supervisor = Supervisor(
        [
            *child_specs(settings, settings_file, run_dir, pools.inventory.gpus),
            *([beside] if (beside := go2rtc.child(settings, run_dir)) else []),
        ],
        stagger_s=settings.worker.effective_spawn_stagger_s,
        restart_backoff_max_s=settings.worker.restart_backoff_max_s,
        on_change=lock.update,
    )
    with contextlib.ExitStack() as at_the_end:
        store = EpisodeStore(run_dir, settings.game)
        at_the_end.callback(store.close)
        state = FleetState(settings, run_dir.name, store, SuspendAwareClock())
        proofs = ProbeCache(pools.folder)
        watch = HealthMonitor(
            state,
            lambda: capacity(pools, proofs, allow_cpu_fallback=settings.stream.allow_cpu_fallback),
            lambda: problems(find_problems(settings, pools, proofs)),
        )
        servers = make_servers(state, supervisor, pools, token)
        at_the_end.callback(_stop_servers, servers)
        sweeper = GameCleanup(_metabonk("sweep"))
        at_the_end.callback(_sweep_up, supervisor, sweeper)
        sweeper.sweep()
        at_the_end.callback(supervisor.stop, GRACE_S)
        for server in servers:
            server.start()
        watch.start()
        at_the_end.callback(watch.close)
        suspicion = EncoderQuarantine(pools, proofs)
        _keep_running(state, supervisor, suspicion, sweeper, watch, display, stop)


def problems(findings: Iterable[Finding]) -> list[Problem]:
    """As the page and the terminal show them."""
    return [
        Problem(message=found.message, action=found.action) for found in findings if found.action is not None
    ]


def child_specs(
    settings: Settings, settings_file: Path, run_dir: Path, gpus: Sequence[Gpu]
) -> Iterator[ChildSpec]:
    """The first worker, the learner, the other workers: the first picture comes first.

    Each sees one GPU: the workers go round them, and the learner has the first.
    """
    common = (
        *("--settings", str(settings_file.absolute())),
        *("--run", str(run_dir.absolute())),
        *("--parent", str(os.getpid())),
    )
    logs = settings.paths.logs
    for index in range(settings.workers):
        name = f"omega-{index}"
        command = _metabonk("worker", *common, "--index", str(index))
        gpu = gpu_of_worker(index, gpus)
        environment = gpu.environment if gpu else {}
        yield ChildSpec(name, command, logs / f"{name}.log", environment=environment)
        if index == 0 and settings.mode is Mode.TRAIN:
            command = _metabonk("learner", *common)
            yield ChildSpec("learner", command, logs / "learner.log", environment=environment)


def make_servers(
    state: FleetState, supervisor: Supervisor, pools: Pools, token: str | None = None
) -> list[HttpServer]:
    """The API on its own port, and the page with the API and every worker on another."""
    settings = state.settings
    api, page = make_apps(state, supervisor.restarts, pools, token)
    return [
        HttpServer(page, settings.host, settings.ports.page),
        HttpServer(api, settings.internal_host, settings.ports.orchestrator),
    ]


def make_apps(
    state: FleetState, restarts: Callable[[], dict[str, int]], pools: Pools, token: str | None
) -> tuple[FastAPI, FastAPI]:
    """The API, and the page with the API and every worker; ``token`` guards the page."""
    archive = RunCatalog(state.settings.paths.runs, state.run)
    routers = (
        api_routes(state, FleetMetrics(state, restarts), lambda: pool_statuses(pools)),
        history_routes(archive),
        event_routes(state.journal),
    )
    gateway = Gateway(state)
    api = make_http_app("MetaBonk orchestrator")
    page = make_http_app("MetaBonk", lifespan=gateway.lifespan, token=token)
    for app in (api, page):
        app.add_exception_handler(sqlite3.Error, episodes_unreadable)
        app.add_exception_handler(NoSuchRun, no_such_run)
        for router in routers:
            app.include_router(router)
    api.include_router(heartbeat_routes(state))
    page.include_router(gateway.routes())
    # Not mounted: a mount would also take what a route has for another method.
    page.router.default = Page()
    return api, page


def _keep_running(
    state: FleetState,
    supervisor: Supervisor,
    suspicion: EncoderQuarantine,
    sweeper: GameCleanup,
    watch: HealthMonitor,
    display: Display,
    stop: StopSignal,
) -> None:
    shown_at = float("-inf")
    while not stop.is_set():
        for death in supervisor.tick():
            state.died(death.name, death.sentence)
            suspicion.died(death)
            sweeper.sweep()
        for name, silence in watch.hung().items():
            supervisor.end(name, f"it has not answered for {silence:.0f} s")
        sweeper.tick()
        state.set_problems([*supervisor.problems(), *watch.problems()])
        beside = supervisor.states().get(go2rtc.NAME) is ChildState.RUNNING
        state.set_go2rtc(go2rtc.address(state.settings) if beside else None)
        now = time.monotonic()
        if now - shown_at >= SHOW_EVERY_S:
            display.show(state.fleet(), supervisor.states())
            shown_at = now
        # Not stop.wait(): the signal's handler runs in this very thread, and setting an event takes
        # the lock that waiting for it may hold at that moment.
        time.sleep(TICK_S)
    log.info("asked to stop")


def _stop_servers(servers: list[HttpServer]) -> None:
    """All at once: each may wait a second for its viewers."""
    stopping = [threading.Thread(target=server.stop) for server in servers]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()


def _sweep_up(supervisor: Supervisor, sweeper: GameCleanup) -> None:
    if supervisor.killed:
        sweeper.sweep()
    sweeper.close(SWEEP_TIMEOUT_S)


def _metabonk(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "metabonk.cli.main", *arguments)
