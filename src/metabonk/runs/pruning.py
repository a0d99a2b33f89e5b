"""Runs that a running fleet uses, and the deletion of others.

A fleet holds a shared lock on its run's folder, and whoever deletes it an exclusive one; the kernel
drops both with their processes (flock(2)).
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from metabonk.errors import StartError
from metabonk.runs.layout import SETTINGS_FILE, has_checkpoint


@contextlib.contextmanager
def hold_run(run_dir: Path) -> Iterator[None]:
    """Keep a run from being deleted. Filesystems without locks hold nothing.

    Raises:
        StartError: it is being deleted.
    """
    with contextlib.closing(_Folder(run_dir)) as folder:
        if not folder.lock(fcntl.LOCK_SH):
            raise StartError(f"{run_dir} is being deleted; resume another run, or start a new one")
        yield


def is_in_use(run_dir: Path) -> bool:
    """Tell whether a fleet holds the run."""
    with contextlib.closing(_Folder(run_dir)) as folder:
        return not folder.lock(fcntl.LOCK_EX)


def runs_to_prune(newest_first: Sequence[Path], keep: int) -> list[Path]:
    """Return the runs that are older than the ``keep`` newest ones with a checkpoint."""
    kept = 0
    for index, run_dir in enumerate(newest_first):
        if kept == keep:
            return list(newest_first[index:])
        kept += has_checkpoint(run_dir)
    return []


def delete_run(run_dir: Path) -> bool:
    """Delete a run unless a fleet holds it; tell whether it was deleted.

    The settings go last: until then an interrupted deletion leaves a run that can be deleted.

    Raises:
        OSError: a file can't be deleted.
    """
    with contextlib.closing(_Folder(run_dir)) as folder:
        if not folder.lock(fcntl.LOCK_EX):
            return False
        for entry in run_dir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != SETTINGS_FILE:
                entry.unlink()
        shutil.rmtree(run_dir)
        return True


class _Folder:
    """An open folder and the lock on it."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(
            folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )

    def lock(self, kind: int) -> bool:
        """Lock it unless another process's lock forbids that; tell whether it may be used."""
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # A filesystem without locks.
            return True
        return True

    def close(self) -> None:
        os.close(self._descriptor)
