"""Each encoder, really opened, fed and closed: under a lease and in a child, as a fleet does it.

What came of it is kept, so that the next start knows.
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
    missing,
)
from metabonk.encoding.probe import EncoderProbe, NotProbed, ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pools import RENDER_NODES
from metabonk.settings import Settings, write_settings


def encoders(settings: Settings, pools: Pools) -> Iterator[Finding]:
    """A finding a rung of the ladder and GPU, as it is tried.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    lacking, working = missing(settings.stream.engine), 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        write_settings(settings, file)
        prover = EncoderProbe(file, ProbeCache(pools.folder))
        for rung, gpu in _attempts(pools):
            where = f"encoder {rung.backend}" + (f" on GPU {gpu.index}" if gpu else "")
            if rung.backend in lacking:
                yield Finding(f"{where}: {lacking[rung.backend]}", absent=True)
                continue
            if gpu and (why := pools.why_no_nvenc(gpu.index)):
                yield Finding(f"{where}: {why}", absent=True)
                continue
            known, proof = prover.known(rung, gpu), prover.probe_now(rung, gpu)
            if isinstance(proof, NotProbed):
                before = "has worked here" if known and known.works else "not known"
                yield Finding(f"{where}: {before}; not tried now, since {proof.reason}")
                # Where somebody encodes with it, it is no reason to say that none works.
                working += proof.at_limit
                continue
            working += proof.works
            said = "works" if proof.works else proof.reason
            yield Finding(f"{where}: {said}", absent=not proof.works)
    if not working:
        yield Finding("no encoder works here", "see docs/encoding.md", needed=True)


def _attempts(pools: Pools) -> Iterator[tuple[Rung, Gpu | None]]:
    for rung in RUNGS:
        if rung.pool_kind is not PoolKind.NVENC:
            yield rung, None
        for gpu in pools.census.gpus if rung.pool_kind is PoolKind.NVENC else ():
            yield rung, gpu


ADD = (
    "sudo apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 "
    "gcc pkg-config libgirepository1.0-dev libcairo2-dev && .venv/bin/pip install '.[gst]'"
)
"""On Debian 12 and Ubuntu 24.04 (docs/encoding.md)."""


def gstreamer(pools: Pools) -> Finding:
    """Worth adding where there is a GPU for it; whether its encoders work is found by trying."""
    if has_gstreamer():
        return Finding(f"GStreamer's bindings: {gstreamer_version()}")
    if not pools.census.gpus and not RENDER_NODES.exists():
        return Finding("no GStreamer, and no GPU that it would be for", absent=True)
    return Finding("no GStreamer, which would feed the GPU's encoder best", ADD)
