"""Atomic file writes, and reading the end of a log.

After an atomic write readers see the old content or the new, never a partial file.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

PARTIAL_SUFFIX = ".partial"


def write_atomically(file: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace the content of ``file``; after a power cut it is the old or the new.

    Writes another file, syncs and renames it, and syncs the folder. One writer at a time.

    Args:
        file: to replace.
        data: whole, or in pieces.

    Raises:
        OSError: it can't be written, for instance because the disk is full; the file is unchanged.
    """
    partial = file.with_name(f"{file.name}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as stream:
            with contextlib.suppress(OSError):  # A filesystem without locks.
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stream.writelines((data,) if isinstance(data, bytes) else data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


def remove_partials(folder: Path) -> None:
    """Remove what interrupted atomic writes left in a folder; those in progress hold a lock."""
    for partial in folder.glob(f"*{PARTIAL_SUFFIX}"):
        # One that is in use or can't be removed only costs space.
        with contextlib.suppress(OSError), partial.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(stream.fileno()).st_size
            partial.unlink()
            log.info("removed %s (%d MB) of an interrupted write", partial, size >> 20)


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # Removed meanwhile.
                total += Path(path, name).lstat().st_size
    return total


def move_aside_corrupt(file: Path, error: Exception) -> None:
    """Rename a corrupt file that can be rebuilt, and log its new name once.

    Args:
        file: will be created afresh by its writer.
        error: what is wrong with it.
    """
    damaged = file.with_name(f"{file.name}.damaged")
    # If it can't be renamed, the next reader logs it again.
    with contextlib.suppress(OSError):
        file.replace(damaged)
    log.warning("%s is corrupt and was moved to %s: %s", file, damaged, error)


def read_tail(file: Path, max_bytes: int, start: int = 0) -> str:
    """Return the end of a text file, at most ``max_bytes`` of it; "" if it can't be read.

    Args:
        file: encoded in UTF-8; other bytes are replaced.
        max_bytes: of longer text the beginning is left out, up to a whole line.
        start: bytes at the beginning of the file to leave out; of a shorter file, which was
            emptied since, none.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = start if start <= size else 0
            offset = max(start, size - max_bytes)
            stream.seek(offset)
            text = stream.read(max_bytes).decode(errors="replace")
    except OSError:
        return ""
    # The first line may be incomplete.
    return text if offset == start else text.partition("\n")[2] or text


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
