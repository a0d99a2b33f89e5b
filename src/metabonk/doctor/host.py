"""Disk and shared memory."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metabonk.settings.schema import Paths


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so, and what to do about it.

    Attributes:
        what: is so.
        do: what to do about it; None where nothing has to be done.
        needed: whether a fleet can't run, or can't be watched, as it is.
        absent: it tells of something that isn't here and need not be.
    """

    what: str
    do: str | None = None
    needed: bool = False
    absent: bool = False

    @property
    def mark(self) -> str:
        """At a glance."""
        if self.do is None:
            return "–" if self.absent else "✓"
        return "✗" if self.needed else "·"


LEAST_DISK = 500 << 20
"""A run of an hour writes some tens of MB; the rest is so that a full disk is seen in time."""

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_MEMORY = 256 << 20
"""In all: an engine takes 13 MB, and 128 MB are kept for games that are shown (``worker/lanes``).
Docker gives a container 64 MB."""

LEAST_FREE_SHARED_MEMORY = 64 << 20
MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
MOUNTS = Path("/proc/self/mounts")


def free_disk(folder: Path) -> int:
    """Bytes that are free where ``folder`` is, or would be made."""
    return shutil.disk_usage(_existing(folder)).free


def disks(paths: Paths) -> Iterator[Finding]:
    """Whether there is room on each disk that a fleet writes to."""
    losing = {paths.logs: "logs may have gaps", paths.runs: "checkpoints may fail"}
    by_device = {_existing(folder).stat().st_dev: folder for folder in losing}
    for folder in by_device.values():
        free = free_disk(folder)
        if free < LEAST_DISK:
            what = f"only {megabytes(free)} are free where {folder} is; {losing[folder]}"
            yield Finding(what, "free some disk", needed=True)
        else:
            yield Finding(f"{megabytes(free)} are free where {folder} is")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def shared_memory() -> Finding:
    """Whether there is room for the engines of Doom games."""
    usage = shutil.disk_usage(SHARED_MEMORY)
    what = f"{SHARED_MEMORY} has {megabytes(usage.free)} free of {megabytes(usage.total)}"
    if usage.total < LEAST_SHARED_MEMORY:
        return Finding(
            f"{what}: that is little for game engines, which take 13 MB each",
            "in a container: docker run --shm-size=1g, or shm_size: 1g in compose.yaml",
            needed=True,
        )
    if usage.free < LEAST_FREE_SHARED_MEMORY:
        return Finding(
            f"{what}, and game engines take 13 MB each",
            f"'ls -l {SHARED_MEMORY}' shows what fills it; "
            "'python scripts/cleanup_nvenc_sessions.py --kill' removes what killed games left",
            needed=True,
        )
    return Finding(f"{what}, for game engines")


def in_container() -> bool:
    """Whether this looks like a container: by the marks of Docker and Podman, or by its root."""
    if any(marker.exists() for marker in MARKERS):
        return True
    mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    return any(point == "/" and "overlay" in kind for _, point, kind, *_ in mounts)


def megabytes(size: int) -> str:
    """Bytes, for people."""
    return f"{size >> 20} MB"
