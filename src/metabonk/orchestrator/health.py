"""What the orchestrator has to ask for: the learner's status, encoder sessions, its machine.

And whether a worker that has fallen silent lives: one that no longer answers at all hangs.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import httpx
from pydantic import ValidationError

from metabonk.encoding.capacity import Capacity
from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import QUARANTINE_S, ProbeCache
from metabonk.encoding.sessions import Holder, Pools
from metabonk.errors import EncodingError
from metabonk.messages import LearnerStatus, Mode, Problem
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.supervisor import ExitReport

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
ANSWER_TIMEOUT_S = 2.0
HUNG_AFTER_S = 15.0
"""Silence after which a worker is asked for a sign of life. Load makes it late by a second or so; a
native call that holds Python's lock silences all of its threads for as long as it lasts."""


class HealthMonitor:
    """A thread that asks once a second, so that nothing else ever waits for an answer.

    Args:
        state: takes the answers.
        capacity: what encoder sessions there are for this fleet now.
        glance: what a person should do about this machine now.
    """

    def __init__(
        self,
        state: FleetState,
        capacity: Callable[[], Capacity],
        glance: Callable[[], Sequence[Problem]] = lambda: (),
    ) -> None:
        self._state = state
        self._capacity = capacity
        self._glance = glance
        self._stop = threading.Event()
        self._problems: list[Problem] = []
        self._hung: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(ANSWER_TIMEOUT_S)

    def problems(self) -> list[Problem]:
        """What it found that a person should know."""
        return self._problems

    def hung(self) -> dict[str, float]:
        """Instance id → seconds of silence, of the workers that don't even answer when asked."""
        return self._hung

    def _run(self) -> None:
        settings = self._state.settings
        learner = f"http://{settings.internal_authority(settings.ports.learner)}/status"
        with httpx.Client(timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
            while True:
                uncounted = self._ask_capacity()
                self._problems = [*([uncounted] if uncounted else []), *self._glance()]
                if settings.mode is Mode.TRAIN:
                    self._state.set_learner(_ask(client, learner))
                self._hung = {
                    name: silence
                    for name, silence in self._state.silent().items()
                    if silence >= HUNG_AFTER_S and not self._lives(client, name)
                }
                if self._stop.wait(INTERVAL_S):
                    return

    def _lives(self, client: httpx.Client, name: str) -> bool:
        settings = self._state.settings
        port = settings.worker_port(int(name.removeprefix("omega-")))
        worker = settings.internal_authority(port)
        try:
            return client.get(f"http://{worker}/healthz").is_success
        except httpx.HTTPError:
            return False

    def _ask_capacity(self) -> Problem | None:
        try:
            self._state.set_capacity(self._capacity())
        except EncodingError as error:
            return Problem(
                message=f"encoder sessions can't be counted: {error}", action="mend that folder"
            )
        return None


def _ask(client: httpx.Client, url: str) -> LearnerStatus | None:
    try:
        answer = client.get(url).raise_for_status()
        return LearnerStatus.model_validate_json(answer.content)
    except httpx.HTTPError:
        return None
    except ValidationError as error:
        log.warning("the learner's status can't be read: %s", error)
        return None


CRASHES_BEFORE_DOUBT = 2
"""While it encoded; within ``QUARANTINE_S``. One may have had any cause. A worker that dies while
it opens an encoder leaves less doubt, and one such death is enough."""


class EncoderQuarantine:
    """Learns from deaths.

    Args:
        pools: whose slots tell who died with a session open.
        proofs: what is known of encoders.
        clock: monotonic seconds.
    """

    def __init__(
        self, pools: Pools, proofs: ProbeCache, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pools = pools
        self._proofs = proofs
        self._clock = clock
        self._crashes: dict[tuple[str, int | None], list[float]] = {}

    def died(self, death: ExitReport) -> None:
        """Takes a death into account; call it before the slots are taken again."""
        if not death.crashed:
            return
        try:
            left = [
                holder
                for pool in self._pools.all()
                for holder in pool.stale_holders()
                if holder.pid == death.pid
            ]
            for holder in left:
                self._suspect(holder, death)
        except (EncodingError, OSError) as error:
            log.warning("what %s had open can't be known: %s", death.name, error)

    def _suspect(self, holder: Holder, death: ExitReport) -> None:
        now = self._clock()
        encoder = holder.backend, holder.gpu
        recent = [at for at in self._crashes.get(encoder, []) if now - at < QUARANTINE_S]
        self._crashes[encoder] = [*recent, now]
        if holder.session_open and len(recent) + 1 < CRASHES_BEFORE_DOUBT:
            return
        rung = next((rung for rung in RUNGS if rung.backend == holder.backend), None)
        if rung is None:
            return
        gpu = None if holder.gpu is None else self._pools.inventory.by_index.get(holder.gpu)
        doing = "while it encoded" if holder.session_open else "while it was opened"
        until = time.strftime("%H:%M", time.localtime(time.time() + QUARANTINE_S))
        reason = (
            f"{rung.backend} is not used until {until}: {death.sentence}, {doing}. "
            f"logs/{death.name}.log says more; a newer or older driver may help"
        )
        log.error("%s", reason)
        self._proofs.store(rung, gpu, ProbeResult(works=False, reason=reason), quarantined=True)
