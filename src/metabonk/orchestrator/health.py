"""Health of the fleet: what has to be polled, and encoders that crash their workers."""

import logging
import time
from collections.abc import Callable, Sequence

import httpx
from pydantic import ValidationError

from metabonk.encoding.capacity import Capacity
from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import QUARANTINE_S, ProbeCache
from metabonk.encoding.sessions import Holder, Pools
from metabonk.errors import EncodingError
from metabonk.messages import LearnerStatus, Mode, Problem, worker_index
from metabonk.orchestrator.exit_report import ExitReport
from metabonk.orchestrator.fleet import FleetState
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
RESPONSE_TIMEOUT_S = 2.0

HUNG_AFTER_S = 15.0
"""Silence after which a worker is asked whether it is alive. Load delays a heartbeat by a second or
so; a native call that holds Python's lock silences all threads for as long as it lasts."""

CRASHES_BEFORE_QUARANTINE = 2
"""Crashes while encoding, within ``QUARANTINE_S``: a single one may have had any cause. One crash
while an encoder is opened is enough."""


class HealthMonitor:
    """Thread that polls the learner, encoder sessions and the machine, and finds hung workers.

    Args:
        state: receives the answers.
        capacity: returns the encoder sessions that the fleet may hold now.
        machine_problems: returns the problems of this machine.
    """

    def __init__(
        self,
        state: FleetState,
        capacity: Callable[[], Capacity],
        machine_problems: Callable[[], Sequence[Problem]] = lambda: (),
    ) -> None:
        self._state = state
        self._capacity = capacity
        self._machine_problems = machine_problems
        self._problems: list[Problem] = []
        self._unresponsive: dict[str, float] = {}
        # Without keep-alive no connection outlives its request, so that nothing is left to close.
        self._client = httpx.Client(
            timeout=RESPONSE_TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._thread = PeriodicThread(self._tick, INTERVAL_S, name="health")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._thread.close(RESPONSE_TIMEOUT_S)

    def problems(self) -> list[Problem]:
        """Return the problems found by the last poll."""
        return self._problems

    def unresponsive(self) -> dict[str, float]:
        """Return the seconds of silence of workers that hang, by instance id."""
        return self._unresponsive

    def _tick(self) -> None:
        self._problems = [*self._measure_capacity(), *self._machine_problems()]
        if self._state.settings.mode is Mode.TRAIN:
            self._state.set_learner(self._learner())
        self._unresponsive = {
            name: silence_s
            for name, silence_s in self._state.silent().items()
            if silence_s >= HUNG_AFTER_S and not self._is_alive(name)
        }

    def _measure_capacity(self) -> list[Problem]:
        try:
            self._state.set_capacity(self._capacity())
        except EncodingError as error:
            return [
                Problem(
                    message=f"can't count encoder sessions: {error}",
                    action="fix that directory's permissions; the count resumes automatically",
                )
            ]
        return []

    def _learner(self) -> LearnerStatus | None:
        settings = self._state.settings
        authority = settings.internal_authority(settings.ports.learner)
        try:
            response = self._client.get(f"http://{authority}/status").raise_for_status()
            return LearnerStatus.model_validate_json(response.content)
        except httpx.HTTPError:
            return None
        except ValidationError as error:
            log.warning("learner: malformed status: %s", error)
            return None

    def _is_alive(self, name: str) -> bool:
        settings = self._state.settings
        authority = settings.internal_authority(settings.worker_port(worker_index(name)))
        try:
            return self._client.get(f"http://{authority}/healthz").is_success
        except httpx.HTTPError:
            return False


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
                for holder in pool.stale_holders()
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
