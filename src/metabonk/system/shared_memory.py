"""Shared memory (``/dev/shm``), which game engines allocate: its size, and how much is needed."""

import shutil
from pathlib import Path

PATH = Path("/dev/shm")

MIN_TOTAL = 256 << 20
"""Bytes a fleet needs in all: an engine takes 13 MB, and ``LIVE_GAME_RESERVE`` stays free. Docker
gives a container 64 MB."""

MIN_FREE = 64 << 20
"""Bytes below which a running fleet reports that shared memory fills up."""

LIVE_GAME_RESERVE = 128 << 20
"""Bytes that a worker's additional games leave to games being shown: an engine dies without. In a
container with Docker's 64 MB a worker plays one game."""


def free_bytes() -> int:
    """Return the free shared memory, bytes."""
    return shutil.disk_usage(PATH).free


def total_bytes() -> int:
    """Return the size of shared memory, bytes."""
    return shutil.disk_usage(PATH).total
