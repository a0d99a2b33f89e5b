"""Walks the ladder until an encoder is open, under a lease."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import Encoder, EncoderSettings
from metabonk.encoding.ladder import RUNGS, LadderContext, PoolKind, Rung, climb
from metabonk.encoding.probe import AT_THE_LIMIT, EncoderProbe, NotProbed, pool_of
from metabonk.encoding.sessions import Lease, Pool, Pools, Refusal
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.errors import EncoderUnavailable

log = logging.getLogger(__name__)

FIRST_REST_S = 1.0
LONGEST_REST_S = 30.0

NVENC_BACKENDS = {rung.backend for rung in RUNGS if rung.pool_kind is PoolKind.NVENC}


SettingsOn: TypeAlias = Callable[[Rung], EncoderSettings]
"""What a stream should be on a rung: one in hardware may be larger than one in software."""


@dataclass(slots=True)
class EncoderSession:
    """An open encoder, how it encodes, and the lease that allows it."""

    rung: Rung
    encoder: Encoder
    settings: EncoderSettings
    lease: Lease
    worker: str

    def close(self) -> None:
        """Closes the encoder, then gives the lease back: never the other way round."""
        if not self.lease.held:
            return
        try:
            self.encoder.close()
        finally:
            self.lease.release()
            self.tell_released()

    def tell_released(self) -> None:
        """Logs the end of the session."""
        log.info(
            "Released %s session slot=%d pool=%s worker=%s",
            self.rung.pool_kind.upper(),
            self.lease.slot,
            self.lease.pool,
            self.worker,
        )


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """Why no encoder could be opened now.

    Attributes:
        refusals: backend and reason, for every rung that this machine has the libraries for.
        limit_reached: whether sessions being in use is all that stands in the way, as is expected
            when there are more workers than sessions.
    """

    refusals: tuple[tuple[str, str], ...]
    limit_reached: bool

    @property
    def reason(self) -> str:
        """All that was tried and why each was refused, in one line."""
        return "; ".join(f"{backend}: {reason}" for backend, reason in self.refusals)


@dataclass(frozen=True, slots=True)
class _Break:
    """That a rung broke."""

    count: int
    until: float
    """By the opener's clock."""
    reason: str


class EncoderOpener:
    """Opens encoders for one worker, and remembers which ones broke.

    Args:
        pools: where leases come from.
        prover: says whether a rung works on this host.
        worker: for logs and for the holders' list.
        gpu_index: the GPU whose encoder is used, as NVML counts.
        allow_cpu_fallback: whether software may stand in where there is NVENC hardware.
        missing: backend to the reason why it is out on this machine, whatever the GPU.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        pools: Pools,
        prover: EncoderProbe,
        *,
        worker: str,
        gpu_index: int,
        allow_cpu_fallback: bool,
        missing: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools = pools
        self._prover = prover
        self._worker = worker
        self._gpu_index = gpu_index
        self._allow_cpu_fallback = allow_cpu_fallback
        self._missing = missing or {}
        self._clock = clock
        self._breaks: dict[str, _Break] = {}
        self._told: str | None = None

    def open(self, settings_on: SettingsOn) -> EncoderSession | OpenFailure:
        """An open encoder on the best rung that is to be had, or why there is none.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        refusals: list[tuple[str, str]] = []
        limited = other = False
        for rung in [step.rung for step in climb(self._situation())]:
            if rung.backend in self._missing:
                # Nothing was tried; 'nvenc status' says why. A spectator has no use for it.
                continue
            # Proving one rung may rule another in or out, so each is judged when its turn comes.
            refused = self._refusal_of(rung)
            if refused is None:
                opened = self._open_rung(rung, settings_on(rung))
                if isinstance(opened, EncoderSession):
                    self._tell_opened(opened, refusals)
                    return opened
                refused, at_limit = opened
                limited |= at_limit
                other |= not at_limit
            refusals.append((rung.backend, refused))
        missing = OpenFailure(tuple(refusals), limit_reached=limited and not other)
        self._tell_missing(missing)
        return missing

    def move(self, session: EncoderSession, settings_on: SettingsOn) -> EncoderSession | None:
        """Another open encoder for a stream to go on with, where there is a reason to move.

        Reasons: a better rung has become free; or another program has taken sessions of this one's
        pool, which is over its limit now, and this session was the last to join.

        Up the ladder only to one that is known to work: the stream waits while one is proven.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        must_leave = self._is_one_too_many(session)
        for step in climb(self._situation()):
            if step.rung is session.rung:
                if not must_leave:
                    return None
                continue
            proven = self._prover.known(step.rung, self._gpu) is not None
            if step.refused is None and (proven or must_leave):
                opened = self._open_rung(step.rung, settings_on(step.rung))
                if isinstance(opened, EncoderSession):
                    self._tell_opened(opened, [])
                    return opened
        return None

    def reopen(self, session: EncoderSession, settings: EncoderSettings) -> OpenFailure | None:
        """Goes on with other settings: the encoder is closed, and opened anew under its lease.

        Returns:
            None, or why it could not be opened; then the session has ended.
        """
        session.encoder.close()
        session.lease.session_closed()
        pool = pool_of(session.rung, self._gpu_index, self._pools)
        assert pool is not None, "its session came from it"
        opened = self._open_under(session.lease, pool, session.rung, settings)
        if isinstance(opened, EncoderSession):
            session.encoder, session.settings = opened.encoder, opened.settings
            return None
        session.tell_released()
        reason, at_limit = opened
        return OpenFailure(((session.rung.backend, reason),), limit_reached=at_limit)

    def _is_one_too_many(self, session: EncoderSession) -> bool:
        pool = pool_of(session.rung, self._gpu_index, self._pools)
        assert pool is not None, "its session came from it"
        usage = pool.usage()
        if usage.used <= usage.limit:
            return False
        last = max(usage.holders, key=lambda holder: holder.since or 0.0, default=None)
        return last is not None and last.slot == session.lease.slot

    def broke(self, session: EncoderSession, reason: str) -> None:
        """Closes a session whose encoder failed; its rung rests, twice as long each time."""
        session.close()
        self._rest(session.rung, reason)

    def hangs(self, session: EncoderSession, reason: str) -> None:
        """As ``broke``, but leaves the session open, since whatever closes it would hang as well.

        Its lease stays with it: the driver counts it until the process ends.
        """
        self._rest(session.rung, reason)

    def worked(self, session: EncoderSession) -> None:
        """Forgets that this rung ever broke, after it has encoded well for a while."""
        self._breaks.pop(session.rung.backend, None)

    @property
    def _gpu(self) -> Gpu | None:
        return self._pools.census.by_index.get(self._gpu_index)

    def _situation(self) -> LadderContext:
        now = self._clock()
        known = {rung.backend: self._prover.known(rung, self._gpu) for rung in RUNGS}
        return LadderContext(
            no_nvenc=self._pools.why_no_nvenc(self._gpu_index),
            missing=self._missing,
            proofs={backend: proof for backend, proof in known.items() if proof},
            resting={
                backend: broke.reason
                for backend, broke in self._breaks.items()
                if broke.until > now
            },
            allow_cpu_fallback=self._allow_cpu_fallback,
        )

    def _refusal_of(self, rung: Rung) -> str | None:
        return next(s.refused for s in climb(self._situation()) if s.rung is rung)

    def _open_rung(
        self, rung: Rung, settings: EncoderSettings
    ) -> EncoderSession | tuple[str, bool]:
        """A session, or why not and whether sessions being in use is the cause."""
        pool = pool_of(rung, self._gpu_index, self._pools)
        assert pool is not None, "the ladder refuses NVENC rungs where there is no GPU"
        proof = self._prover.prove(rung, self._gpu)
        if isinstance(proof, NotProbed):
            return proof.reason, proof.at_limit
        if not proof.works:
            return proof.reason, False
        lease = pool.take(
            worker=self._worker,
            purpose="stream",
            backend=rung.backend,
            gpu=self._gpu_index if rung.pool_kind is PoolKind.NVENC else None,
        )
        if isinstance(lease, Refusal):
            return lease.reason, True
        return self._open_under(lease, pool, rung, settings)

    def _open_under(
        self, lease: Lease, pool: Pool, rung: Rung, settings: EncoderSettings
    ) -> EncoderSession | tuple[str, bool]:
        try:
            encoder = make_encoder(rung.backend, settings, self._gpu.ordinal if self._gpu else 0)
        except EncoderUnavailable as error:
            if error.nvenc_code in AT_THE_LIMIT:
                learned = pool.refused_by_driver(lease)
                if learned is not None:
                    log.info("the driver opens %d sessions at once: the limit is lowered", learned)
                return str(error), True
            lease.release()
            self._rest(rung, str(error))
            return str(error), False
        except BaseException:
            lease.release()
            raise
        lease.session_opened()
        return EncoderSession(rung, encoder, settings, lease, self._worker)

    def _rest(self, rung: Rung, reason: str) -> None:
        before = self._breaks.get(rung.backend)
        count = before.count if before else 0
        pause = min(FIRST_REST_S * 2**count, LONGEST_REST_S)
        again = time.strftime("%H:%M:%S", time.localtime(time.time() + pause))
        told = f"{reason}; it is tried again at {again}"
        self._breaks[rung.backend] = _Break(count + 1, self._clock() + pause, told)
        log.warning("%s", told)

    def _tell_opened(self, session: EncoderSession, refusals: list[tuple[str, str]]) -> None:
        self._told = None
        for backend, reason in refusals:
            if session.rung.pool_kind is PoolKind.CPU and backend in NVENC_BACKENDS:
                log.info("falls back to %s; %s: %s", session.rung.backend, backend, reason)
        log.info(
            "Acquired %s session slot=%d pool=%s%s worker=%s backend=%s",
            session.rung.pool_kind.upper(),
            session.lease.slot,
            session.lease.pool,
            f" gpu={self._gpu_index}" if session.rung.pool_kind is PoolKind.NVENC else "",
            self._worker,
            session.rung.backend,
        )

    def _tell_missing(self, missing: OpenFailure) -> None:
        """Logs each new reason once: a worker in standby asks again every second."""
        if missing.reason == self._told:
            return
        self._told = missing.reason
        if missing.limit_reached:
            log.info("Session limit reached worker=%s: %s", self._worker, missing.reason)
        else:
            log.warning("no encoder for worker=%s: %s", self._worker, missing.reason)
