"""Folders of ring files, and making and removing these.

A trainer's ring is in shared memory, or, where that is full, in the runtime folder. The file's lock
tells whether its trainer is there, however it may have ended.
"""

import contextlib
import dataclasses
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.errors import StartError
from metabonk.system import shared_memory
from metabonk.system.file_lock import is_locked, try_lock
from metabonk.system.private_folder import private_folder, session_dir_problem

SUFFIX = ".ring"
RANK = "{rank}"
MAX_RINGS = 4096
"""Rings of one name."""

CAPACITY, SMALL_CAPACITY = 1 << 20, 1 << 17
"""Bytes of a ring without frames: 20,000 steps of a small environment, or the states of 70 Atari
games; and of one where there is little room."""

SETTING = "METABONK_PATHS_RUNTIME"


def ring_folders() -> list[Path]:
    """Return the folders in which trainers make rings, the preferred one first."""
    if configured := os.environ.get(SETTING):
        return [Path(configured) / "rings"]
    session = os.environ.get("XDG_RUNTIME_DIR")
    if not session or session_dir_problem(Path(session)) is not None:
        session = tempfile.gettempdir()
    name = f"metabonk-{os.getuid()}-rings"
    return [shared_memory.PATH / name, Path(session) / name]


def create_ring(announcement: Announcement, capacities: tuple[int, ...]) -> RingWriter:
    """Create a ring, and remove those whose trainers have ended.

    Args:
        announcement: its name may contain ``{rank}``, for the lowest number that is free.
        capacities: to try in each folder, bytes.

    Raises:
        StartError: there is no room for it anywhere; says why.
    """
    reasons = list[str]()
    for folder in ring_folders():
        try:
            private_folder(folder, setting=SETTING)
        except StartError as error:
            reasons.append(str(error))
            continue
        remove_ended(folder)
        for capacity in capacities:
            try:
                return _create(folder, announcement, capacity)
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror}")
    raise StartError("; ".join(dict.fromkeys(reasons)))


def find_rings() -> list[Path]:
    """Return the rings whose trainers are there, of all folders."""
    return [
        file
        for folder in ring_folders()
        for file in sorted(folder.glob(f"*{SUFFIX}"))
        if is_locked(file)
    ]


def remove_ended(folder: Path) -> None:
    """Remove the rings of trainers that have ended."""
    for file in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if not is_locked(file) and (descriptor := try_lock(file)) is not None:
                file.unlink(missing_ok=True)
                os.close(descriptor)


def _create(folder: Path, announcement: Announcement, capacity: int) -> RingWriter:
    for name in itertools.islice(_names(announcement.name), MAX_RINGS):
        file = folder / f"{_file_name(name)}{SUFFIX}"
        if (descriptor := _claim(file)) is not None:
            named = dataclasses.replace(announcement, name=name)
            return RingWriter(descriptor, file, capacity, named.to_json())
    raise StartError(f"{MAX_RINGS} environments are called {announcement.name!r} already")


def _names(template: str) -> Iterator[str]:
    if RANK not in template:
        yield template
        template = f"{template}-{RANK}"
        ranks = itertools.count(1)
    else:
        ranks = itertools.count()
    for rank in ranks:
        yield template.replace(RANK, str(rank))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[:100]


def _claim(file: Path) -> int | None:
    """Create and lock a new file; None if another process has one of this name."""
    while (descriptor := try_lock(file)) is not None:
        if os.fstat(descriptor).st_size == 0:
            return descriptor
        # A ring that has ended. Somebody may still read it, so it is not written over.
        file.unlink(missing_ok=True)
        os.close(descriptor)
    return None
