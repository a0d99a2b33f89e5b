"""Opens an encoder under a lease, by walking the ladder from the best rung down."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import Encoder, EncoderSettings
from metabonk.encoding.ladder import RUNGS, LadderContext, PoolKind, Rung, evaluate
from metabonk.encoding.probe import EncoderProbe, NotProbed
from metabonk.encoding.sessions import Lease, Pool, Pools, Refusal
from metabonk.encoding.sessions.limits import LIMIT_CODES
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.slots import LOCK_TIMEOUT_S, LOOK_TIMEOUT_S
from metabonk.errors import EncoderUnavailable

log = logging.getLogger(__name__)

FIRST_BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 30.0

NVENC_BACKENDS = {rung.backend for rung in RUNGS if rung.pool_kind is PoolKind.NVENC}

SettingsFor: TypeAlias = Callable[[Rung], EncoderSettings]
"""Stream settings for a rung: a hardware stream may be larger than a software one."""


@dataclass(slots=True)
class EncoderSession:
    """An open encoder, its settings, and the lease it runs under."""

    rung: Rung
    encoder: Encoder
    settings: EncoderSettings
    lease: Lease
    worker: str

    def close(self) -> None:
        """Close the encoder, then release the lease: never the other way round."""
        if not self.lease.held:
            return
        try:
            self.encoder.close()
        finally:
            self.lease.release()
            self.log_released()

    def log_released(self) -> None:
        """Log the end of the session."""
        log.info(
            "Released %s session slot=%d pool=%s worker=%s",
            self.rung.pool_kind.upper(),
            self.lease.slot,
            self.lease.pool,
            self.worker,
        )


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """Reasons why no encoder could be opened.

    Attributes:
        refusals: backend and reason, for every rung that this machine has the libraries for.
        limit_reached: True if the session limit is the only obstacle, as is expected with more
            workers than sessions.
    """

    refusals: tuple[tuple[str, str], ...]
    limit_reached: bool

    @property
    def reason(self) -> str:
        """Every backend that was tried and why it was refused, in one line."""
        return "; ".join(f"{backend}: {reason}" for backend, reason in self.refusals)


@dataclass(frozen=True, slots=True)
class _BackOff:
    """Pause before a broken rung is tried again."""

    failures: int
    until: float
    """By the opener's clock."""
    reason: str


class EncoderOpener:
    """Opens encoders for one worker, and remembers which ones broke.

    Args:
        pools: source of leases.
        probe: tells whether a rung works on this host.
        worker: name in logs and in the list of holders.
        gpu_index: GPU that encodes, as NVML counts.
        allow_cpu_fallback: allow software encoding on machines with NVENC.
        unavailable: by backend, the reason why this machine lacks it.
        clock: monotonic, seconds.
    """

    def __init__(
        self,
        pools: Pools,
        probe: EncoderProbe,
        *,
        worker: str,
        gpu_index: int,
        allow_cpu_fallback: bool,
        unavailable: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools = pools
        self._probe = probe
        self._worker = worker
        self._gpu_index = gpu_index
        self._allow_cpu_fallback = allow_cpu_fallback
        self._unavailable = unavailable or {}
        self._clock = clock
        self._back_offs: dict[str, _BackOff] = {}
        self._last_logged: str | None = None

    def open(self, settings_for: SettingsFor) -> EncoderSession | OpenFailure:
        """Open an encoder on the best possible rung, or return why there is none.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        refusals: list[tuple[str, str]] = []
        limited = other = False
        for rung in RUNGS:
            if rung.backend in self._unavailable:
                # Listed by 'nvenc status'; of no use to a viewer.
                continue
            # Probing one rung may change the status of the next, so each is evaluated in turn.
            refusal = self._refusal_of(rung)
            if refusal is None:
                opened = self._open_rung(rung, settings_for(rung))
                if isinstance(opened, EncoderSession):
                    self._log_opened(opened, refusals)
                    return opened
                refusal, at_limit = opened
                limited |= at_limit
                other |= not at_limit
            refusals.append((rung.backend, refusal))
        failure = OpenFailure(tuple(refusals), limit_reached=limited and not other)
        self._log_failure(failure)
        return failure

    def move(self, session: EncoderSession, settings_for: SettingsFor) -> EncoderSession | None:
        """Open another encoder for a live stream, if there is a reason to move.

        Either a better rung has become free, or another program has taken sessions of this one's
        pool, which now exceeds its limit, and this session was the last to join.

        A stream moves up only to a rung already known to work, since it would wait for a probe.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        must_leave = self._exceeds_limit(session)
        for status in evaluate(self._context()):
            if status.rung is session.rung:
                if not must_leave:
                    return None
                continue
            probed = self._probe.cached(status.rung, self._gpu) is not None
            if status.refusal is None and (probed or must_leave):
                # Meanwhile nobody encodes, so a stuck process must not be waited for.
                settings = settings_for(status.rung)
                opened = self._open_rung(status.rung, settings, timeout_s=LOOK_TIMEOUT_S)
                if isinstance(opened, EncoderSession):
                    self._log_opened(opened, [])
                    return opened
        return None

    def reopen(self, session: EncoderSession, settings: EncoderSettings) -> OpenFailure | None:
        """Close the encoder and open it again with other settings, under the same lease.

        Returns:
            None, or why it could not be opened; the session has ended then.
        """
        session.encoder.close()
        session.lease.mark_closed()
        pool = self._pool_of(session)
        opened = self._open_under(session.lease, pool, session.rung, settings)
        if isinstance(opened, EncoderSession):
            session.encoder, session.settings = opened.encoder, opened.settings
            return None
        session.log_released()
        reason, at_limit = opened
        return OpenFailure(((session.rung.backend, reason),), limit_reached=at_limit)

    def mark_broken(self, session: EncoderSession, reason: str) -> None:
        """Close a session whose encoder failed, and back off from its rung, doubling each time."""
        session.close()
        self._back_off(session.rung, reason)

    def mark_hung(self, session: EncoderSession, reason: str) -> None:
        """Back off from a hung session's rung, leaving it open: closing it would hang as well.

        It keeps its lease, because the driver counts it until the process ends.
        """
        self._back_off(session.rung, reason)

    def mark_healthy(self, session: EncoderSession) -> None:
        """Reset the back-off of a rung that has encoded well for a while."""
        self._back_offs.pop(session.rung.backend, None)

    @property
    def _gpu(self) -> Gpu | None:
        return self._pools.inventory.by_index.get(self._gpu_index)

    def _context(self) -> LadderContext:
        now = self._clock()
        cached = {rung.backend: self._probe.cached(rung, self._gpu) for rung in RUNGS}
        return LadderContext(
            no_nvenc=self._pools.no_nvenc_reason(self._gpu_index),
            unavailable=self._unavailable,
            probes={backend: result for backend, result in cached.items() if result},
            backing_off={
                backend: back_off.reason
                for backend, back_off in self._back_offs.items()
                if back_off.until > now
            },
            allow_cpu_fallback=self._allow_cpu_fallback,
        )

    def _refusal_of(self, rung: Rung) -> str | None:
        return next(s.refusal for s in evaluate(self._context()) if s.rung is rung)

    def _pool_of(self, session: EncoderSession) -> Pool:
        pool = session.rung.pool(self._pools, self._gpu_index)
        assert pool is not None, "its session came from it"
        return pool

    def _exceeds_limit(self, session: EncoderSession) -> bool:
        """Tell whether the pool exceeds its limit and this session was the last to join."""
        usage = self._pool_of(session).usage()
        if usage.used <= usage.limit or usage.note is not None:
            return False
        last = max(usage.holders, key=lambda holder: holder.since or 0.0, default=None)
        return last is not None and last.slot == session.lease.slot

    def _open_rung(
        self, rung: Rung, settings: EncoderSettings, timeout_s: float = LOCK_TIMEOUT_S
    ) -> EncoderSession | tuple[str, bool]:
        """Return a session, or the reason for none and whether it is the session limit."""
        pool = rung.pool(self._pools, self._gpu_index)
        assert pool is not None, "the ladder refuses NVENC rungs without a GPU"
        result = self._probe.probe(rung, self._gpu)
        if isinstance(result, NotProbed):
            if not result.at_limit:
                self._back_off(rung, result.reason)
            return result.reason, result.at_limit
        if not result.works:
            return result.reason, False
        lease = pool.take(
            worker=self._worker,
            purpose="stream",
            backend=rung.backend,
            gpu=self._gpu_index if rung.pool_kind is PoolKind.NVENC else None,
            timeout_s=timeout_s,
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
            return self._on_refusal(lease, pool, rung, error)
        except BaseException:
            lease.release()
            raise
        lease.mark_opened()
        return EncoderSession(rung, encoder, settings, lease, self._worker)

    def _on_refusal(
        self, lease: Lease, pool: Pool, rung: Rung, error: EncoderUnavailable
    ) -> tuple[str, bool]:
        """Release the lease; return the reason, and whether it is the session limit."""
        reason, code = str(error), error.nvenc_code
        if code in LIMIT_CODES:
            shortage = self._pools.memory_shortage(self._gpu_index, code)
            if shortage is None:
                learned = pool.refused_by_driver(lease)
                if learned is not None:
                    log.info(
                        "%s: the driver refused session %d; limit lowered to %d",
                        pool.name,
                        learned + 1,
                        learned,
                    )
                return reason, True
            reason = f"{reason}; {shortage}"
        lease.release()
        self._back_off(rung, reason)
        return reason, False

    def _back_off(self, rung: Rung, reason: str) -> None:
        previous = self._back_offs.get(rung.backend)
        failures = previous.failures if previous else 0
        pause_s = min(FIRST_BACK_OFF_S * 2**failures, MAX_BACK_OFF_S)
        retry_at = time.strftime("%H:%M:%S", time.localtime(time.time() + pause_s))
        reason = f"{reason}; next attempt at {retry_at}"
        self._back_offs[rung.backend] = _BackOff(failures + 1, self._clock() + pause_s, reason)
        log.warning("%s", reason)

    def _log_opened(self, session: EncoderSession, refusals: list[tuple[str, str]]) -> None:
        self._last_logged = None
        for backend, reason in refusals:
            if session.rung.pool_kind is PoolKind.CPU and backend in NVENC_BACKENDS:
                log.info(
                    "worker=%s falls back to %s; %s: %s",
                    self._worker,
                    session.rung.backend,
                    backend,
                    reason,
                )
        log.info(
            "Acquired %s session slot=%d pool=%s%s worker=%s backend=%s",
            session.rung.pool_kind.upper(),
            session.lease.slot,
            session.lease.pool,
            f" gpu={self._gpu_index}" if session.rung.pool_kind is PoolKind.NVENC else "",
            self._worker,
            session.rung.backend,
        )

    def _log_failure(self, failure: OpenFailure) -> None:
        """Log each new reason once: a worker in standby tries again every second."""
        if failure.reason == self._last_logged:
            return
        self._last_logged = failure.reason
        if failure.limit_reached:
            log.info("Session limit reached worker=%s: %s", self._worker, failure.reason)
        else:
            log.warning("worker=%s has no encoder: %s", self._worker, failure.reason)
