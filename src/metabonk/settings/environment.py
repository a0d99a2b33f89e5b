"""What libraries are told before they begin: most of them through the environment."""

import ctypes
import os
from collections.abc import Mapping

M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``: how many heaps there may be."""


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


def keep_one_heap() -> None:
    """Has glibc share one heap among all threads; call it before there are any.

    By default each thread has its own, and what is free in one is of no use to the others: a worker
    of fifteen threads held 30 to 45 MB that nobody used, ever more of it over half an hour, and
    holds 7 to 17 with one heap. Other C libraries have none of this, and nothing is done there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_devices() -> str | None:
    """What the variable says: numbers or UUIDs with commas between; None: every GPU is seen."""
    return os.environ.get(VISIBLE)


def gpus_are_hidden() -> bool:
    """Whether the user has hidden every GPU, as CUDA's own programs understand it."""
    return visible_devices() in ("", "-1")


def seeing(uuid: str) -> dict[str, str]:
    """What the environment has to say for CUDA to see this GPU alone."""
    return {VISIBLE: uuid}


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with some changes, for a child."""
    return {**os.environ, **changes}
