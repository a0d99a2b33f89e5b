"""Findings about this host: disk, shared memory, and whether it is a container."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metabonk.settings.schema import Paths
from metabonk.system import shared_memory

MIN_FREE_DISK = 500 << 20
"""Bytes. An hour's run writes some tens of MB; the rest lets a full disk be noticed in time."""

CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about this machine, and what to do about it.

    Attributes:
        message: the fact.
        action: what to do; None if nothing needs to be done.
        blocking: a fleet can't run, or can't be watched, until ``action`` is taken.
        absent: it reports something optional that isn't here.
    """

    message: str
    action: str | None = None
    blocking: bool = False
    absent: bool = False

    @property
    def mark(self) -> str:
        """Symbol for a list of findings."""
        if self.action is None:
            return "–" if self.absent else "✓"
        return "✗" if self.blocking else "·"


def free_disk(folder: Path) -> int:
    """Return the free bytes on the disk that holds ``folder``, which need not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def disk_findings(paths: Paths) -> Iterator[Finding]:
    """Report the free space on each disk that a fleet writes to."""
    consequences = {paths.logs: "logs may have gaps", paths.runs: "checkpoints may fail"}
    by_device = {_existing(folder).stat().st_dev: folder for folder in consequences}
    for folder in by_device.values():
        free = free_disk(folder)
        if free < MIN_FREE_DISK:
            message = f"only {megabytes(free)} free on the disk of {folder}; {consequences[folder]}"
            yield Finding(message, "free some disk space", blocking=True)
        else:
            yield Finding(f"{megabytes(free)} free on the disk of {folder}")


def shared_memory_finding() -> Finding:
    """Report whether there is enough shared memory for Doom engines."""
    total, free = shared_memory.total_bytes(), shared_memory.free_bytes()
    message = f"{shared_memory.PATH} has {megabytes(free)} free of {megabytes(total)}"
    if total < shared_memory.MIN_TOTAL:
        return Finding(
            f"{message}: too little for game engines, which take 13 MB each",
            "in a container: docker run --shm-size=1g, or shm_size: 1g in compose.yaml",
            blocking=True,
        )
    if free < shared_memory.MIN_FREE:
        return Finding(
            f"{message}, and game engines take 13 MB each",
            f"'ls -l {shared_memory.PATH}' shows what fills it; "
            "'python scripts/cleanup_nvenc_sessions.py --kill' removes leftovers of killed games",
            blocking=True,
        )
    return Finding(f"{message}, for game engines")


def in_container() -> bool:
    """Tell whether this looks like a container: by Docker's or Podman's markers, or by its root."""
    if any(marker.exists() for marker in CONTAINER_MARKERS):
        return True
    mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    return any(point == "/" and "overlay" in kind for _, point, kind, *_ in mounts)


def megabytes(size: int) -> str:
    """Format a number of bytes."""
    return f"{size >> 20} MB"


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())
