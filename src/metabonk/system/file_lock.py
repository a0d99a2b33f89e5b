"""Kernel locks on files (flock(2)), which end with the process that holds them, however it ends."""

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
        if _is_same_file(descriptor, file):
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


def is_locked(file: Path) -> bool:
    """Tell whether a process holds the lock now; false where the file doesn't exist."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_same_file(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    except FileNotFoundError:
        return False
