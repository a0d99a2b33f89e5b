"""Which rungs are out on this machine at first sight: a library is missing, or a setting says so.

Quick, and loads nothing: what is there may still not work, which only a proof tells.
"""

import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from metabonk.encoding.ladder import RUNGS, Scarcity
from metabonk.encoding.sessions.pools import RENDER_NODES

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
        elif rung.scarcity is Scarcity.VA and not RENDER_NODES.exists():
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
