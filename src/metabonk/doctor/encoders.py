"""GStreamer, and each encoder: really opened, fed and closed in a child, under a lease.

The results are cached, so that the next start knows them.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from metabonk.doctor.host import Finding
from metabonk.encoding.ladder import (
    RUNGS,
    PoolKind,
    Rung,
    gstreamer_version,
    has_gstreamer,
    unavailable,
)
from metabonk.encoding.probe import EncoderProbe, NotProbed, ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pools import RENDER_NODES
from metabonk.settings import Settings, write_settings
from metabonk.settings.commands import add_extra

INSTALL_GSTREAMER = (
    "sudo apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 "
    f"gcc pkg-config libgirepository1.0-dev libcairo2-dev && {add_extra('gst')}"
)
"""For Debian 12 and Ubuntu 24.04 (docs/encoding.md)."""


def gstreamer_finding(pools: Pools) -> Finding:
    """Report whether GStreamer is installed, which pays off if there is a GPU to encode on."""
    if has_gstreamer():
        return Finding(f"GStreamer bindings: {gstreamer_version()}")
    if not pools.inventory.gpus and not RENDER_NODES.exists():
        return Finding("no GStreamer, and no GPU that would need it", absent=True)
    return Finding("no GStreamer, which feeds the GPU's encoder best", INSTALL_GSTREAMER)


def encoder_findings(settings: Settings, pools: Pools) -> Iterator[Finding]:
    """Probe every rung of the ladder on every GPU, and report each result as it comes.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    reasons, working = unavailable(settings.stream.engine), 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        write_settings(settings, file)
        probe = EncoderProbe(file, ProbeCache(pools.folder))
        for rung, gpu in _attempts(pools):
            name = f"encoder {rung.backend}" + (f" on GPU {gpu.index}" if gpu else "")
            if rung.backend in reasons:
                yield Finding(f"{name}: {reasons[rung.backend]}", absent=True)
                continue
            if gpu and (reason := pools.no_nvenc_reason(gpu.index)):
                yield Finding(f"{name}: {reason}", absent=True)
                continue
            cached, result = probe.cached(rung, gpu), probe.probe_now(rung, gpu)
            if isinstance(result, NotProbed):
                known = "has worked here" if cached and cached.works else "not known"
                yield Finding(f"{name}: {known}; not probed now: {result.reason}")
                # At the limit somebody is encoding with it, so it isn't true that none works.
                working += result.at_limit
                continue
            working += result.works
            outcome = "works" if result.works else result.reason
            yield Finding(f"{name}: {outcome}", absent=not result.works)
    if not working:
        yield Finding("no encoder works here", "see docs/encoding.md", blocking=True)


def _attempts(pools: Pools) -> Iterator[tuple[Rung, Gpu | None]]:
    for rung in RUNGS:
        if rung.pool_kind is not PoolKind.NVENC:
            yield rung, None
        for gpu in pools.inventory.gpus if rung.pool_kind is PoolKind.NVENC else ():
            yield rung, gpu
