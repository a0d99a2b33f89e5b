"""GStreamer, for tests that need it."""

from functools import cache

from metabonk.encoding.backends.gst_elements import PLUGINS
from metabonk.encoding.backends.gst_library import APT, library
from metabonk.errors import EncoderUnavailable
from tests.support.requirements import require


@cache
def _missing_reason() -> str | None:
    try:
        library().load(PLUGINS["x264enc"])
    except EncoderUnavailable as error:
        return str(error)
    return None


def require_gstreamer() -> None:
    """Skip the test, naming what to install, if GStreamer or its bindings are missing."""
    reason = _missing_reason()
    require(None if reason else True, f"GStreamer ({reason})", apt=APT)
