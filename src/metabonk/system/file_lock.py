"""Kernel locks on files (flock(2)), which end with the process that holds them, however it ends."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

FIRST_PAUSE_S = 0.0002
MAX_PAUSE_S = 0.01


def try_lock(file: Path) -> int | None:
    """Create and lock a file.

    Returns:
        Its descriptor, whose closing drops the lock; None while another process holds it.

    Raises:
        OSError: the file can't be made, or its filesystem has no locks.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        if is_same_file(descriptor, file):
            return descriptor
        # The previous holder removed the file between the open and the lock.
        os.close(descriptor)


def lock(file: Path, timeout_s: float) -> int | None:
    """Create and lock a file, waiting up to ``timeout_s`` seconds for another holder.

    Returns:
        Its descriptor, whose closing drops the lock; None on timeout.

    Raises:
        OSError: the file can't be made, or its filesystem has no locks.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while (descriptor := try_lock(file)) is None:
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, MAX_PAUSE_S)
    return descriptor


def is_locked(file: Path, *, follow: bool = False) -> bool:
    """Tell whether a process holds the lock now; false where the file doesn't exist.

    Args:
        file: that is locked.
        follow: also where the path is a link.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(file, flags)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_same_file(descriptor: int, file: Path) -> bool:
    """Tell whether the path still leads to the open file: it may have been removed or replaced."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    except FileNotFoundError:
        return False


class FolderHold:
    """Shared lock on a folder, for which systemd-tmpfiles leaves all of its content alone.

    It cleans folders like ``/tmp`` by age, and skips those that are locked (tmpfiles.d(5)). On
    filesystems without such locks, nothing is held.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def hold(self, folder: Path) -> None:
        """Hold this folder; if it is the one held before, nothing changes.

        Raises:
            OSError: it can't be opened.
        """
        if self._descriptor is not None and is_same_file(self._descriptor, folder):
            return
        self.close()
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
