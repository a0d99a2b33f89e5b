"""Health of the machine: what has to be polled, and encoders that crash their workers."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from metabonk.encoding.capacity import Capacity
from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import QUARANTINE_S, ProbeCache
from metabonk.encoding.sessions import Holder, Pools
from metabonk.errors import EncodingError
from metabonk.messages.base import Problem
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.processes.faults import Faults
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 1.0

OVERDUE_AFTER_S = 10.0
"""A poll takes milliseconds, unless a disk or a driver does not answer."""

CRASHES_BEFORE_QUARANTINE = 2
"""Crashes while encoding, within ``QUARANTINE_S``: a single one may have had any cause. One crash
while an encoder is opened is enough."""


class HealthMonitor:
    """Thread that polls encoder sessions and the machine.

    Args:
        state: receives the answers.
        capacity: returns the encoder sessions that the fleet may hold now.
        machine_problems: returns the problems of this machine.
    """

    name = "health"

    def __init__(
        self,
        state: FleetState,
        capacity: Callable[[], Capacity],
        machine_problems: Callable[[], Sequence[Problem]] = lambda: (),
    ) -> None:
        self._state = state
        self._capacity = capacity
        self._machine_problems = machine_problems
        self._faults = Faults()
        self._problems: list[Problem] = []
        self._polling_since: float | None = None
        self._thread = PeriodicThread(self._tick, INTERVAL_S, name=self.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, without waiting for a poll."""
        self._thread.close(0.0)

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    def problems(self) -> list[Problem]:
        """Return the problems found by the last poll, and of polling itself."""
        return [*self._problems, *self._faults.problems(), *self._overdue()]

    def _tick(self) -> None:
        self._polling_since = time.monotonic()
        found: list[Problem] = []
        with self._faults.survive("the count of encoder sessions"):
            found += self._measure_capacity()
        with self._faults.survive("the check of this machine"):
            found += self._machine_problems()
        self._problems, self._polling_since = found, None

    def _overdue(self) -> Iterator[Problem]:
        since = self._polling_since
        if since is not None and (waited_s := time.monotonic() - since) >= OVERDUE_AFTER_S:
            yield Problem(
                message=f"the check of this machine has been waiting for {waited_s:.0f} s",
                action="a disk or a driver does not answer; 'sudo dmesg' may say which",
            )

    def _measure_capacity(self) -> list[Problem]:
        try:
            capacity = self._capacity()
        except EncodingError as error:
            return [
                Problem(
                    message=f"can't count encoder sessions: {error}",
                    action="fix that directory's permissions; the count resumes automatically",
                )
            ]
        self._state.set_capacity(capacity)
        return [
            Problem(
                message=f"no worker gets a session of pool {pool}: {note}",
                action="end that process; sessions are leased again automatically",
            )
            for pool, note in capacity.notes.items()
        ]


class EncoderQuarantine:
    """Keeps workers away from an encoder that crashes them.

    A driver that crashes takes the worker down, training included, and would do so again at the
    next start. The slot file tells which encoder a dead worker had open; that encoder then counts
    as failed in probing until the quarantine ends, and workers train without a stream.

    Args:
        pools: their slot files name the sessions of dead workers.
        probes: records the quarantine.
        clock: monotonic seconds.
    """

    def __init__(
        self, pools: Pools, probes: ProbeCache, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pools = pools
        self._probes = probes
        self._clock = clock
        self._crashes: dict[tuple[str, int | None], list[float]] = {}

    def on_exit(self, report: ExitReport) -> None:
        """Take an exit into account; must be called before the slots are taken again."""
        if not report.crashed:
            return
        try:
            held = [
                holder
                for pool in self._pools.all()
                for holder in pool.written_holders()
                if holder.pid == report.pid
            ]
            for holder in held:
                self._blame(holder, report)
        except (EncodingError, OSError) as error:
            log.warning("%s: can't read which encoder it had open: %s", report.name, error)

    def _blame(self, holder: Holder, report: ExitReport) -> None:
        now = self._clock()
        encoder = holder.backend, holder.gpu
        crashes = [at for at in self._crashes.get(encoder, []) if now - at < QUARANTINE_S]
        crashes.append(now)
        self._crashes[encoder] = crashes
        if holder.session_open and len(crashes) < CRASHES_BEFORE_QUARANTINE:
            return
        rung = next((rung for rung in RUNGS if rung.backend == holder.backend), None)
        if rung is None:
            return
        gpu = None if holder.gpu is None else self._pools.inventory.by_index.get(holder.gpu)
        activity = "while encoding" if holder.session_open else "while opening the encoder"
        until = time.strftime("%H:%M", time.localtime(time.time() + QUARANTINE_S))
        reason = (
            f"{rung.backend} is not used until {until}: {report.message}, {activity}. "
            f"See logs/{report.name}.log; another driver version may help"
        )
        log.error("%s", reason)
        self._probes.store(rung, gpu, ProbeResult(works=False, reason=reason), quarantined=True)
