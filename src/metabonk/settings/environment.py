"""The environment of this process and its children, and settings that libraries take from it."""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

M_ARENA_MAX = -8
"""Option of glibc's ``mallopt`` (malloc.h): the maximum number of heaps."""

AIR_KEY = "METABONK_AIR_KEY"
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


def disable_gstreamer_scan() -> None:
    """Keep GStreamer from scanning for plugins; call before it starts.

    A scan loads every plugin there is, and NVIDIA's opens encoder sessions while it loads.
    """
    os.environ["GST_REGISTRY_DISABLE"] = "yes"


def disable_openmp_spinning() -> None:
    """Make PyTorch's threads sleep while they wait for each other; call before it is imported.

    Spinning threads take the cores that games need (docs/benchmarks.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_one_heap() -> None:
    """Make glibc share one heap among all threads; call before there are any.

    With a heap for each thread, memory that one has freed is of no use to the others: a worker of
    fifteen threads held 30 to 45 MB of it, against 7 to 17 MB with one heap. Does nothing with
    other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def draw_without_display() -> None:
    """Let SDL (pygame) look for no display; call before it starts.

    Environments draw into memory. Where there is no display, the search for one prints errors.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def disable_mlflow_telemetry() -> None:
    """Keep MLflow from reporting its use, unless the user has set that; call before its import."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def air_key() -> str | None:
    """Return the stream key; None: there is none."""
    return os.environ.get(AIR_KEY) or None


def forget_air_key() -> None:
    """Keep the stream key from children that have no use for it."""
    os.environ.pop(AIR_KEY, None)


def visible_devices() -> str | None:
    """Return ``CUDA_VISIBLE_DEVICES``: indices or UUIDs separated by commas; None: every GPU."""
    return os.environ.get(VISIBLE_DEVICES)


def gpus_are_hidden() -> bool:
    """Tell whether the user has hidden every GPU, as CUDA understands it."""
    return visible_devices() in ("", "-1")


def visible_to(uuid: str) -> dict[str, str]:
    """Return the environment variables with which CUDA sees this GPU alone."""
    return {VISIBLE_DEVICES: uuid}


def user_runtime_dir() -> Path | None:
    """Return ``$XDG_RUNTIME_DIR``, the login session's folder; None: not set."""
    value = os.environ.get("XDG_RUNTIME_DIR")
    return Path(value) if value else None


def user_state_dir() -> Path | None:
    """Return the folder for logs and the like (XDG Base Directory specification); None: no home."""
    configured, home = os.environ.get("XDG_STATE_HOME", ""), os.environ.get("HOME", "")
    if Path(configured).is_absolute():
        return Path(configured)
    return Path(home) / ".local" / "state" if Path(home).is_absolute() else None


def keep_folders(*names: str) -> None:
    """Make variables that name a folder absolute: the working folder is about to change."""
    for name in names:
        if value := os.environ.get(name):
            os.environ[name] = str(Path(value).absolute())


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with some changes, for a child."""
    return {**os.environ, **changes}
