"""Keeps workers away from an encoder that brings them down.

A driver that crashes takes the whole worker along, training included, and would do so again at the
next start. The slot file tells what a dead worker had open; after that its encoder is in doubt, as
if its proof had failed, and the worker trains without a picture until the doubt is over.
"""

import logging
import time
from collections.abc import Callable

from metabonk.encoding.ladder import RUNGS, Proof
from metabonk.encoding.proofs import DOUBT_S, Proofs
from metabonk.encoding.sessions import Holder, Pools
from metabonk.errors import EncodingError
from metabonk.orchestrator.obituary import Death

log = logging.getLogger(__name__)

CRASHES_BEFORE_DOUBT = 2
"""While it encoded; within ``DOUBT_S``. One may have had any cause. A worker that dies while it
opens an encoder leaves less doubt, and one such death is enough."""


class Suspicion:
    """Learns from deaths.

    Args:
        pools: whose slots tell who died with a session open.
        proofs: what is known of encoders.
        clock: monotonic seconds.
    """

    def __init__(
        self, pools: Pools, proofs: Proofs, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pools = pools
        self._proofs = proofs
        self._clock = clock
        self._crashes: dict[tuple[str, int | None], list[float]] = {}

    def died(self, death: Death) -> None:
        """Takes a death into account; call it before the slots are taken again."""
        if not death.crashed:
            return
        try:
            left = [
                holder
                for pool in self._pools.all()
                for holder in pool.remains()
                if holder.pid == death.pid
            ]
            for holder in left:
                self._suspect(holder, death)
        except (EncodingError, OSError) as error:
            log.warning("what %s had open can't be known: %s", death.name, error)

    def _suspect(self, holder: Holder, death: Death) -> None:
        now = self._clock()
        encoder = holder.backend, holder.gpu
        recent = [at for at in self._crashes.get(encoder, []) if now - at < DOUBT_S]
        self._crashes[encoder] = [*recent, now]
        if holder.session_open and len(recent) + 1 < CRASHES_BEFORE_DOUBT:
            return
        rung = next((rung for rung in RUNGS if rung.backend == holder.backend), None)
        if rung is None:
            return
        gpu = None if holder.gpu is None else self._pools.census.by_index.get(holder.gpu)
        doing = "while it encoded" if holder.session_open else "while it was opened"
        until = time.strftime("%H:%M", time.localtime(time.time() + DOUBT_S))
        reason = (
            f"{rung.backend} is not used until {until}: {death.sentence}, {doing}. "
            f"logs/{death.name}.log says more; a newer or older driver may help"
        )
        log.error("%s", reason)
        self._proofs.keep(rung, gpu, Proof(works=False, reason=reason), doubtful=True)
