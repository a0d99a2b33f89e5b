"""Probes of encoders: a few frames really encoded, in a child process, and the result cached.

A driver that crashes or hangs takes down the child (``probe_child``), not the worker. The child
leases its session like every other process.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from metabonk.encoding.ladder import PoolKind, ProbeResult, Rung, gstreamer_version
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.shared_table import SharedTable
from metabonk.settings.environment import environment_with

QUARANTINE_S = 600.0
"""Time for which a crash or hang rules an encoder out; unlike a missing one it may be temporary."""

PROBE_TIMEOUT_S = 20.0
"""Opening takes 0.1 to 0.5 s; a driver that is being reset may need several seconds."""

EXTERNAL_SIGNALS = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a child ended by a person or by the kernel for lack of memory. They say nothing
about the encoder, so it is probed again next time."""


class _CacheEntry(BaseModel):
    works: bool
    reason: str
    until: float | None
    """Unix time at which the entry expires; None if it doesn't."""


class ProbeCache:
    """Probe results on disk, for all processes of this user.

    A result is valid until the GPU, the driver or the library changes; a quarantine expires.

    Args:
        folder: a private one, as ``Pools.folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._table = SharedTable(folder / "probes.json", _CacheEntry)

    def cached(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        """Return the result of the last probe; None if there is no valid one."""
        entry = self._table.get(_key(rung, gpu))
        if entry is None or (entry.until is not None and not _in_quarantine(entry.until)):
            return None
        return ProbeResult(works=entry.works, reason=entry.reason)

    def store(self, rung: Rung, gpu: Gpu | None, result: ProbeResult, *, quarantined: bool) -> None:
        """Store a result; where that is impossible, this process alone knows it."""
        entry = _CacheEntry(
            works=result.works,
            reason=result.reason,
            until=time.time() + QUARANTINE_S if quarantined else None,
        )
        self._table.put(_key(rung, gpu), entry)


def _in_quarantine(until: float) -> bool:
    """Tell whether a quarantine holds; one ending too far ahead predates a change of the clock."""
    return 0 <= until - time.time() <= QUARANTINE_S


def _key(rung: Rung, gpu: Gpu | None) -> str:
    where = (
        f"{gpu.uuid} driver {gpu.driver}" if gpu and rung.pool_kind is PoolKind.NVENC else "host"
    )
    libraries = f"av {version('av')}"
    if rung.backend.startswith("gst:"):
        libraries = f"{gstreamer_version()}, {libraries}"
    return f"{rung.backend} on {where} with {libraries}"


@dataclass(frozen=True, slots=True)
class NotProbed:
    """The encoder could not be probed now, so nothing is known about it yet.

    Attributes:
        reason: human-readable.
        at_limit: True if no session was free.
    """

    reason: str
    at_limit: bool


class ProbeOutcome(StrEnum):
    """Outcome of a probe, as the child reports it."""

    WORKS = "works"
    FAILED = "failed"
    """Valid until the GPU, the driver or the library changes."""
    QUARANTINED = "quarantined"
    """Failed for now: a crash or hang may be temporary, and a plugin may be added."""
    AT_LIMIT = "at limit"
    """Not probed, because no session is free."""
    NOT_PROBED = "not probed"
    """Not probed, for another reason."""


class ProbeReport(BaseModel):
    """The child's output: the outcome, and the reason if the encoder doesn't work."""

    outcome: ProbeOutcome
    reason: str = ""


class EncoderProbe:
    """Probes rungs, each once per host.

    Args:
        settings_file: written by ``write_settings``; the child takes pools and limits from it.
        cache: earlier results; receives new ones.
    """

    def __init__(self, settings_file: Path, cache: ProbeCache) -> None:
        self._settings_file = settings_file
        self._cache = cache

    def cached(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        """Return what is known about ``rung`` on ``gpu`` without probing it."""
        return self._cache.cached(rung, gpu)

    def probe(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        """Return the cached result for ``rung`` on ``gpu``, or else probe it now."""
        return self._cache.cached(rung, gpu) or self.probe_now(rung, gpu)

    def probe_now(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        """Probe ``rung`` on ``gpu``, whatever is cached."""
        report = self._run_child(rung, gpu)
        if report.outcome in (ProbeOutcome.AT_LIMIT, ProbeOutcome.NOT_PROBED):
            return NotProbed(report.reason, at_limit=report.outcome is ProbeOutcome.AT_LIMIT)
        result = ProbeResult(works=report.outcome is ProbeOutcome.WORKS, reason=report.reason)
        quarantined = report.outcome is ProbeOutcome.QUARANTINED
        self._cache.store(rung, gpu, result, quarantined=quarantined)
        return result

    def _run_child(self, rung: Rung, gpu: Gpu | None) -> ProbeReport:
        command = [
            sys.executable,
            *("-m", "metabonk.encoding.probe_child"),
            *("--settings", str(self._settings_file)),
            *("--backend", rung.backend),
            *("--gpu", str(gpu.index if gpu else 0)),
            *("--parent", str(os.getpid())),
        ]
        try:
            child = subprocess.run(
                command,
                env=environment_with(gpu.environment if gpu else {}),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=PROBE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _quarantined(f"its probe hung for {PROBE_TIMEOUT_S:.0f} s")
        if child.returncode in EXTERNAL_SIGNALS:
            name = signal.Signals(-child.returncode).name
            reason = f"its probe was ended by {name}"
            return ProbeReport(outcome=ProbeOutcome.NOT_PROBED, reason=reason)
        if child.returncode < 0:
            return _quarantined(f"its probe crashed with signal {-child.returncode}")
        try:
            return ProbeReport.model_validate_json(child.stdout)
        except ValidationError:
            last = (child.stderr.strip().splitlines() or ["no output"])[-1]
            return _quarantined(f"its probe failed: {last}")


def _quarantined(reason: str) -> ProbeReport:
    return ProbeReport(outcome=ProbeOutcome.QUARANTINED, reason=reason)
