"""Files that are whole: what was written, or what was there before, and never a part of it."""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def write_atomically(file: Path, data: bytes) -> None:
    """Puts ``data`` in the place of what ``file`` held; a power cut leaves the one or the other.

    It is written under another name, synced, renamed, and the folder is synced. One writer at a
    time.

    Raises:
        OSError: it can't be written, for instance to a full disk; the file is as it was.
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


def move_aside_corrupt(file: Path, trouble: Exception) -> None:
    """Renames a damaged file that can be done without, so that it is said once, with its name.

    Args:
        file: is begun anew.
        trouble: what is wrong with it.
    """
    damaged = file.with_name(f"{file.name}.damaged")
    # Where that can't be, it is said again.
    with contextlib.suppress(OSError):
        file.replace(damaged)
    log.warning("%s is damaged and begun anew; what it held is in %s: %s", file, damaged, trouble)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
