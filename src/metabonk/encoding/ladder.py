"""Encoders in order of preference, and the reason why each one is refused.

A rung states what it needs; ``evaluate`` compares that with the context. The result lists every
rung, so that a fallback can always report what was tried and why each step was refused.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from metabonk.encoding.sessions import Pool, Pools
from metabonk.encoding.sessions.pools import RENDER_NODES
from metabonk.settings.commands import add_extra

CUDA_SOURCE = "cuda_appsrc"
CUDA_SOURCES = {CUDA_SOURCE, "cuda"}
"""Sources whose frames PyTorch converts on the GPU."""


class PoolKind(StrEnum):
    """The pool a rung's sessions come from."""

    NVENC = "nvenc"
    VA = "va"
    CPU = "cpu"


class FrameKind(StrEnum):
    """Memory that holds a frame's pixels."""

    HOST = "host"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to encode.

    Attributes:
        backend: ``engine:source:encoder`` or ``engine:encoder``, as shown in the status.
        pool_kind: the pool its sessions come from.
        frames: kinds of frame it accepts.
    """

    backend: str
    pool_kind: PoolKind
    frames: frozenset[FrameKind] = frozenset({FrameKind.HOST})

    @property
    def hardware(self) -> bool:
        """True if a dedicated device encodes, rather than the CPU."""
        return self.pool_kind is not PoolKind.CPU

    def pool(self, pools: Pools, gpu_index: int) -> Pool | None:
        """Return the pool its sessions come from; None if it needs a GPU that isn't there."""
        match self.pool_kind:
            case PoolKind.NVENC:
                return pools.nvenc(gpu_index)
            case PoolKind.VA:
                return pools.va
            case PoolKind.CPU:
                return pools.cpu


RUNGS = (
    Rung("gst:cuda_appsrc:nvh264enc", PoolKind.NVENC, frozenset(FrameKind)),
    Rung("gst:appsrc:nvh264enc", PoolKind.NVENC),
    Rung("av:cuda:h264_nvenc", PoolKind.NVENC, frozenset(FrameKind)),
    Rung("av:h264_nvenc", PoolKind.NVENC),
    Rung("gst:appsrc:vah264enc", PoolKind.VA),
    Rung("av:libx264", PoolKind.CPU),
    Rung("gst:appsrc:x264enc", PoolKind.CPU),
)
"""Best first (docs/adr/0005-gstreamer-and-ffmpeg.md)."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of really encoding a few frames.

    Attributes:
        works: True if they came out.
        reason: why they did not.
    """

    works: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LadderContext:
    """Everything that decides about a rung, as far as it is known.

    Attributes:
        frames: kind of frame that the game delivers.
        no_nvenc: reason why there is no NVENC to use; None if there is.
        unavailable: by backend, the reason why this machine lacks it.
        probes: by backend, the probe's result; absent if not probed yet.
        backing_off: by backend, the reason why it is not tried right now: it broke.
        allow_cpu_fallback: allow software encoding on machines with NVENC.
    """

    frames: FrameKind = FrameKind.HOST
    no_nvenc: str | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[str, ProbeResult] = field(default_factory=dict)
    backing_off: Mapping[str, str] = field(default_factory=dict)
    allow_cpu_fallback: bool = False


@dataclass(frozen=True, slots=True)
class RungStatus:
    """A rung, and the reason why it is refused; None if it may be tried."""

    rung: Rung
    refusal: str | None


def evaluate(context: LadderContext) -> list[RungStatus]:
    """Return the status of every rung, best first. Pure."""
    return [RungStatus(rung, _refusal(rung, context)) for rung in RUNGS]


def _refusal(rung: Rung, context: LadderContext) -> str | None:
    if reason := context.unavailable.get(rung.backend):
        return reason
    if context.frames not in rung.frames:
        accepted = " or ".join(sorted(rung.frames))
        return f"accepts {accepted} frames, but the game delivers {context.frames} frames"
    probe = context.probes.get(rung.backend)
    if probe and not probe.works:
        return probe.reason
    if rung.pool_kind is PoolKind.NVENC and context.no_nvenc:
        return context.no_nvenc
    if reason := context.backing_off.get(rung.backend):
        return reason
    if (
        rung.pool_kind is PoolKind.CPU
        and context.no_nvenc is None
        and not context.allow_cpu_fallback
    ):
        return (
            "software encoding is off on machines with NVENC; "
            "METABONK_STREAM_ALLOW_CPU_FALLBACK=1 allows it"
        )
    return None


def unavailable(engine: str = "any") -> dict[str, str]:
    """Return, by backend, why this machine can't use it: a missing library, or a setting.

    Quick, and loads nothing: what is available may still not work, which only a probe can tell.

    Args:
        engine: the setting ``stream.engine``.
    """
    reasons = {}
    for rung in RUNGS:
        rung_engine, *words = rung.backend.split(":")
        if engine not in ("any", rung_engine):
            reasons[rung.backend] = f"stream.engine is {engine!r}"
        elif rung_engine == "gst" and not has_gstreamer():
            reasons[rung.backend] = f"PyGObject is not installed: run {add_extra('gst')}"
        elif rung.pool_kind is PoolKind.VA and not RENDER_NODES.exists():
            reasons[rung.backend] = f"this machine has no GPU for VA-API ({RENDER_NODES})"
        elif CUDA_SOURCES.intersection(words) and (reason := _no_torch_with_cuda()):
            reasons[rung.backend] = reason
    return reasons


def _no_torch_with_cuda() -> str | None:
    try:
        is_without = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return "PyTorch is not installed: run pip install 'metabonk[train]'"
    return "PyTorch is installed without CUDA (torch +cpu)" if is_without else None


@cache
def gstreamer_version() -> str:
    """Return the version of GStreamer's bindings; probes of its encoders are valid for it alone."""
    try:
        return f"PyGObject {version('PyGObject')}"
    except PackageNotFoundError:
        return "no PyGObject"


def has_gstreamer() -> bool:
    """Tell whether GStreamer's bindings are installed; its plugins may still be missing."""
    return importlib.util.find_spec("gi") is not None
