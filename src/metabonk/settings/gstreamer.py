"""The one thing that GStreamer is told through the environment."""

import os


def keep_gstreamer_from_scanning() -> None:
    """Has GStreamer neither scan for plugins nor keep a registry; call it before it starts.

    A scan loads every plugin there is, and NVIDIA's opens encoder sessions while it is loaded.
    """
    os.environ["GST_REGISTRY_DISABLE"] = "yes"
