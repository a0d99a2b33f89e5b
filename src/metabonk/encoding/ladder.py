"""Which encoder to try, best first, and why each of the others is out. Pure.

A rung states what it needs; ``climb`` holds that against what is so. The result names every rung,
so that a fallback can always say what was tried and why each step was refused.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from metabonk.encoding.sessions.pools import RENDER_NODES


class PoolKind(StrEnum):
    """The pool that a rung's sessions come from."""

    NVENC = "nvenc"
    VA = "va"
    CPU = "cpu"


class FrameKind(StrEnum):
    """Where a frame's pixels are."""

    HOST = "host"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to encode.

    Attributes:
        backend: ``engine:source:encoder`` or ``engine:encoder``, as the status shows it.
        scarcity: whose sessions it takes.
        frames: the kinds of frame it can be fed.
    """

    backend: str
    pool_kind: PoolKind
    frames: frozenset[FrameKind] = frozenset({FrameKind.HOST})

    @property
    def hardware(self) -> bool:
        """Whether a device of its own encodes, and so no core of the machine."""
        return self.pool_kind is not PoolKind.CPU


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
    """What came of really encoding a few frames.

    Attributes:
        works: whether it did.
        reason: why not, as a sentence.
    """

    works: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LadderContext:
    """All that decides, as far as it is known.

    Attributes:
        frames: what kind of frame the game delivers.
        no_nvenc: why there is no NVENC hardware to use, or None where there is some.
        missing: backend to the reason why its library can't be used here.
        proofs: backend to what came of trying it; absent: not tried yet.
        resting: backend to the reason why it is not tried at the moment: it broke.
        allow_cpu_fallback: whether software may stand in where there is NVENC hardware.
    """

    frames: FrameKind = FrameKind.HOST
    no_nvenc: str | None = None
    missing: Mapping[str, str] | None = None
    proofs: Mapping[str, ProbeResult] | None = None
    resting: Mapping[str, str] | None = None
    allow_cpu_fallback: bool = False


@dataclass(frozen=True, slots=True)
class RungStatus:
    """A rung, and why it is out; ``refused`` is None where it may be tried."""

    rung: Rung
    refused: str | None


def climb(situation: LadderContext) -> list[RungStatus]:
    """Every rung, best first, each with the reason why it is out or None."""
    return [RungStatus(rung, _refusal(rung, situation)) for rung in RUNGS]


def _refusal(rung: Rung, situation: LadderContext) -> str | None:
    if missing := (situation.missing or {}).get(rung.backend):
        return missing
    if situation.frames not in rung.frames:
        taken = " or ".join(sorted(rung.frames))
        return f"takes {taken} frames, and the game delivers {situation.frames} frames"
    proof = (situation.proofs or {}).get(rung.backend)
    if proof and not proof.works:
        return proof.reason
    if rung.pool_kind is PoolKind.NVENC and situation.no_nvenc:
        return situation.no_nvenc
    if rest := (situation.resting or {}).get(rung.backend):
        return rest
    if (
        rung.pool_kind is PoolKind.CPU
        and situation.no_nvenc is None
        and not situation.allow_cpu_fallback
    ):
        return (
            "software encoding is off where there is NVENC hardware; "
            "METABONK_STREAM_ALLOW_CPU_FALLBACK=1 allows it"
        )
    return None


CUDA_SOURCE = "cuda_appsrc"
CUDA_SOURCES = {CUDA_SOURCE, "cuda"}
"""Words of the rungs whose pictures PyTorch converts on the GPU."""


def missing(engine: str = "any") -> dict[str, str]:
    """Backend to the reason why it is out.

    Args:
        engine: the setting ``stream.engine``.
    """
    found = {}
    for rung in RUNGS:
        own, *words = rung.backend.split(":")
        if engine not in ("any", own):
            found[rung.backend] = f"stream.engine is {engine!r}"
        elif own == "gst" and (lacking := _bindings_missing()):
            found[rung.backend] = lacking
        elif rung.pool_kind is PoolKind.VA and not RENDER_NODES.exists():
            found[rung.backend] = f"this machine has no GPU that VA-API could use ({RENDER_NODES})"
        elif CUDA_SOURCES.intersection(words) and version("torch").endswith("+cpu"):
            found[rung.backend] = "PyTorch is installed without CUDA (torch +cpu)"
    return found


@cache
def gstreamer_version() -> str:
    """Of its bindings: what is known of GStreamer's encoders holds as long as they stay."""
    try:
        return f"PyGObject {version('PyGObject')}"
    except PackageNotFoundError:
        return "no PyGObject"


def has_gstreamer() -> bool:
    """Whether its bindings are installed; its plugins may still be missing."""
    return importlib.util.find_spec("gi") is not None


def _bindings_missing() -> str | None:
    if not has_gstreamer():
        return "PyGObject is not installed: pip install 'metabonk[gst]' adds it"
    return None
