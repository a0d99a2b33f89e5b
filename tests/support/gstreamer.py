"""Whether this machine has the GStreamer that tests need."""

from functools import cache

from metabonk.encoding.backends.gst_elements import PLUGINS
from metabonk.encoding.backends.gst_library import APT, library
from metabonk.errors import EncoderUnavailable
from tests.support.requirements import require


@cache
def _reason() -> str | None:
    try:
        library().load(PLUGINS["x264enc"])
    except EncoderUnavailable as error:
        return str(error)
    return None


def require_gstreamer() -> None:
    """Skips the test, with what to do, where GStreamer or its bindings are missing."""
    reason = _reason()
    require(None if reason else True, f"GStreamer ({reason})", apt=APT)
