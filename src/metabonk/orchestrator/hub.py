"""The hub: shows environments of other trainers where there is no fleet.

It is the orchestrator without a learner, workers of its own, a run or games.
"""

import contextlib
import logging
import time
from collections.abc import Callable

from metabonk.doctor.quick import find_problems
from metabonk.encoding.capacity import measure_capacity
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.orchestrator.fleet.registry import SuspendAwareClock
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.guests.processes import Guests
from metabonk.orchestrator.guests.ring_finder import RingFinder
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.process import (
    DISPLAY_INTERVAL_S,
    GRACE_S,
    TICK_S,
    Display,
    problems,
)
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.supervisor import Supervisor
from metabonk.orchestrator.program.air import Transmission
from metabonk.orchestrator.program.process import Program
from metabonk.orchestrator.servers import make_servers, stop_servers
from metabonk.orchestrator.supervision.hang_monitor import HangMonitor
from metabonk.orchestrator.supervision.health import EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.supervision.rounds import Supervision
from metabonk.runs.layout import write_for_children
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.log_files import LogRotation
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)


class Idleness:
    """Tells when nothing has been broadcast for a while. Pure.

    Args:
        limit_s: seconds; None: no limit.
        now: monotonic seconds.
    """

    def __init__(self, limit_s: float | None, now: float) -> None:
        self._limit_s = limit_s
        self._busy_at = now

    def is_over(self, rings: int, now: float) -> bool:
        """Tell whether the hub is to end; to be asked all the time.

        Args:
            rings: of trainers, now.
            now: monotonic seconds.
        """
        if rings:
            self._busy_at = now
        return self._limit_s is not None and now - self._busy_at >= self._limit_s


def run(
    settings: Settings,
    lock: FleetLock,
    display: Display,
    stop: StopSignal,
    election: Election,
    *,
    page: str,
    token: str | None = None,
    idle_s: float | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the hub until ``stop`` is set or it is idle, and end all of it.

    Must be called in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        settings: of the hub, without workers.
        lock: held; records every process that is started.
        display: shows the guests.
        stop: ends the hub.
        election: won.
        page: address of the page, with the token if that is required.
        token: required of the page's viewers; None if the page is served on loopback.
        idle_s: seconds without a broadcast after which it ends; None: it doesn't.
        on_ready: called when the page is served.

    Raises:
        MetaBonkError: the hub can't start.
    """
    folder = settings.paths.logs
    # Not beside the logs, which other machines may write as well.
    name = f"hub-{settings.ports.orchestrator}.json"
    settings_file = write_for_children(settings, runtime_dir(settings.paths.runtime) / name)
    pools = open_pools(settings)
    probes = ProbeCache(pools.folder)
    lock.set_settings_path(settings_file)
    with contextlib.ExitStack() as cleanups:
        cleanups.callback(settings_file.unlink, missing_ok=True)
        clock = SuspendAwareClock()
        state = FleetState(settings, None, clock)
        rotation = LogRotation(children.log_files(settings, ()))
        supervisor = Supervisor(
            (),
            stagger_s=0.0,
            restart_backoff_max_s=settings.worker.restart_backoff_max_s,
            fork_server=children.fork_server(settings, (children.GUEST,)),
            on_change=lock.set_children,
        )
        finder = RingFinder(election)
        guests = Guests(
            finder,
            state,
            supervisor,
            rotation,
            settings_file=settings_file,
            folder=folder,
            gpus=pools.inventory.gpus,
        )
        program = Program(state, supervisor, rotation, settings_file=settings_file, folder=folder)
        transmission = Transmission(
            state.on_air,
            settings,
            supervisor,
            rotation,
            settings_file=settings_file,
            folder=folder,
        )
        health = HealthMonitor(
            state,
            lambda: measure_capacity(
                pools, probes, allow_cpu_fallback=settings.stream.allow_cpu_fallback
            ),
            lambda: [*lock.keep(), *problems(find_problems(settings, pools, probes))],
        )
        servers = make_servers(state, supervisor.restarts, pools, None, token)
        cleanups.callback(stop_servers, servers)
        cleanups.callback(supervisor.stop, GRACE_S)
        for server in servers:
            server.start()
        election.announce(page)
        on_ready()
        hangs = HangMonitor(state, clock)
        stop.watch_threads(revived=(health.name, hangs.name, finder.name))
        for thread in (health, hangs, rotation, finder):
            thread.start()
            cleanups.callback(thread.close)
        supervision = Supervision(
            state,
            supervisor,
            EncoderQuarantine(pools, probes),
            health,
            hangs,
            parts=(guests, program, transmission),
            threads=(finder,),
        )
        idleness = Idleness(idle_s, time.monotonic())
        # With the page's address, even if it is to end at once.
        display.show(state.fleet(), supervisor.states())
        next_display = time.monotonic() + DISPLAY_INTERVAL_S
        while not stop.is_set() and not idleness.is_over(finder.count, time.monotonic()):
            supervision.tick()
            if time.monotonic() >= next_display:
                display.show(state.fleet(), supervisor.states())
                next_display = time.monotonic() + DISPLAY_INTERVAL_S
            stop.wait(TICK_S)
        stop.raise_failure()
        log.info("stopping on request" if stop.is_set() else "stopping: nothing is broadcast")
