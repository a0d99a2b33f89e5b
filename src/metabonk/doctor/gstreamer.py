"""GStreamer, the system's: whether it is there, and the one command that adds it."""

from metabonk.doctor.finding import Finding
from metabonk.encoding.inventory import gstreamer_version, has_gstreamer
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.pools import RENDER_NODES

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
