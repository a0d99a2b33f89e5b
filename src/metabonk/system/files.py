"""Atomic file writes, and reading the end of a log.

After an atomic write readers see the old content or the new, never a partial file.
"""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def write_atomically(file: Path, data: bytes) -> None:
    """Replace the content of ``file``; after a power cut it is the old or the new.

    Writes another file, syncs and renames it, and syncs the folder. One writer at a time.

    Raises:
        OSError: it can't be written, for instance because the disk is full; the file is unchanged.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


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
        start: bytes at the beginning of the file to leave out.
    """
    try:
        with file.open("rb") as stream:
            offset = max(start, stream.seek(0, os.SEEK_END) - max_bytes)
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
