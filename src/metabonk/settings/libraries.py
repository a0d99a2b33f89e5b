"""What libraries are told through the environment, which they read when they are loaded."""

import os


def keep_gstreamer_from_scanning() -> None:
    """Has GStreamer neither scan for plugins nor keep a registry; call it before it starts.

    A scan loads every plugin there is, and NVIDIA's opens encoder sessions while it is loaded.
    """
    os.environ["GST_REGISTRY_DISABLE"] = "yes"


def keep_openmp_from_spinning() -> None:
    """Has PyTorch's threads sleep while they wait for each other; call it before it is imported.

    By default they spin, and where games are played on the same cores that takes from them: with
    Sample Factory's network, on two busy cores, 2.2 ms of CPU to learn from a decision, and 1.2
    without it (``benchmarks.breakdown``).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
