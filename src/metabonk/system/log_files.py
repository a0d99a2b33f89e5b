"""Log files of bounded size, whoever writes them.

Children write to descriptors that they inherited, and ``tail -f`` reads the file it opened. So a
log that is full is copied and emptied, and never renamed.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from metabonk.system.files import read_tail
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

MAX_BYTES = 16 << 20
"""Largest size of a log; its previous part takes as much once more."""

INTERVAL_S = 5.0


class LogRotation:
    """Keeps logs bounded, on a thread that may wait for the disk.

    Args:
        files: need not exist yet; whoever writes one must append (O_APPEND).
        max_bytes: of each.
    """

    def __init__(self, files: Iterable[Path], max_bytes: int = MAX_BYTES) -> None:
        self._files = frozenset(files)
        self._max_bytes = max_bytes
        self._thread = PeriodicThread(self._rotate, INTERVAL_S, name="log-rotation")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def add(self, file: Path) -> None:
        """Keep another log bounded."""
        self._files |= {file}

    def _rotate(self) -> None:
        for file in self._files:
            # A missing log, or a full disk: the next round tries again.
            with contextlib.suppress(OSError):
                if rotate(file, self._max_bytes):
                    log.info("%s was full and starts again; %s continues it", previous(file), file)


def rotate(file: Path, max_bytes: int) -> bool:
    """Move a log's text to the previous part if it is too large; tell whether it was.

    A line that is written in the microseconds between the copy and the cut is lost.

    Raises:
        OSError: there is no log, or the disk is full; then the log is unchanged.
    """
    with file.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= max_bytes:
            return False
        stream.seek(size - max_bytes)
        with previous(file).open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        stream.truncate(0)
        return True


def remove_old(folder: Path, max_age_s: float) -> None:
    """Remove the logs in a folder, and their previous parts, that nobody has written to lately."""
    now = time.time()
    for file in [*folder.glob("*.log"), *folder.glob("*.log.1")]:
        # Another process may remove it too.
        with contextlib.suppress(OSError):
            if now - file.stat().st_mtime > max_age_s:
                file.unlink()


def previous(file: Path) -> Path:
    """Return the file with the previous part of a log."""
    return file.with_name(f"{file.name}.1")


def read_log(file: Path, max_bytes: int) -> str:
    """Return the end of a log, at most ``max_bytes`` of it and its previous part."""
    text = read_tail(file, max_bytes)
    missing = max_bytes - len(text.encode())
    return read_tail(previous(file), missing) + text if missing > 0 else text
