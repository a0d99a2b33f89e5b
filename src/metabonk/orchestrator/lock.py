"""One fleet at a time on its ports, and what other commands need to know of it.

The kernel's lock on the file is the truth; the text in it is for ``metabonk stop`` and for people.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ValidationError

from metabonk.errors import StartError
from metabonk.system.process_ids import ProcessId, boot_id, process_id

PATIENCE_S = 0.5
"""``metabonk stop`` holds the lock for a moment to see whether anybody else does."""

POLL_S = 0.02
LARGEST_RECORD = 1 << 20


class FleetRecord(BaseModel):
    """What the lock file says of a fleet."""

    process: ProcessId
    boot: str
    """Ids and starts of processes mean nothing in another boot."""
    page: str
    settings: Path | None = None
    """Its effective settings, once they are written."""
    children: dict[str, ProcessId] = {}
    """Name → the process that leads its session."""


class FleetLock:
    """Held for as long as the fleet runs.

    Args:
        folder: the runtime folder, this user's alone.
        port: of the orchestrator; one fleet a port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._file = folder / f"fleet-{port}.lock"
        self._descriptor: int | None = None
        self._record: FleetRecord | None = None

    def acquire(self, *, page: str) -> None:
        """Takes the lock and says who holds it now.

        Raises:
            StartError: a fleet is already running, or the file can't be used.
        """
        try:
            self._descriptor = _take(self._file, PATIENCE_S)
            if self._descriptor is None:
                raise StartError(_already_running(read_record(self._file)))
            process = process_id(os.getpid())
            assert process is not None, "/proc shows this process"
            self._record = FleetRecord(process=process, boot=boot_id(), page=page)
            self._write()
        except OSError as error:
            raise StartError(
                f"can't write the lock file {self._file}: {error.strerror}. "
                "Set METABONK_PATHS_RUNTIME to a folder on a local disk that you can write to"
            ) from None

    def set_settings_path(self, file: Path) -> None:
        """Notes where the fleet's effective settings are, for whoever asks about it."""
        self._change(settings=file.absolute())

    def update(self, children: Mapping[str, ProcessId]) -> None:
        """Notes the processes that were started, for whoever has to end them one day."""
        self._change(children=dict(children))

    def _change(self, **changed: object) -> None:
        if self._record is None:
            return
        self._record = self._record.model_copy(update=changed)
        # A full disk must not end a fleet that runs: the lock itself still holds.
        with contextlib.suppress(OSError):
            self._write()

    def release(self) -> None:
        """Removes the file; a second call does nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        self._file.unlink(missing_ok=True)
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _write(self) -> None:
        assert self._descriptor is not None and self._record is not None
        text = self._record.model_dump_json(indent=2).encode() + b"\n"
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


def lock_files(folder: Path, port: int | None = None) -> list[Path]:
    """The lock files of all fleets, or of the one on ``port``."""
    return sorted(folder.glob("fleet-*.lock" if port is None else f"fleet-{port}.lock"))


def read_record(file: Path) -> FleetRecord | None:
    """What the holder wrote; None where there is no file, or rubbish in it."""
    try:
        with file.open("rb") as opened:
            return FleetRecord.model_validate_json(opened.read(LARGEST_RECORD))
    except (OSError, ValidationError):
        return None


def is_held(file: Path) -> bool:
    """Whether a fleet holds the lock now."""
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


def remove_unheld(file: Path) -> None:
    """Removes the file that a killed fleet left."""
    descriptor = _take(file, 0)
    if descriptor is not None:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _take(file: Path, patience_s: float) -> int | None:
    """The locked file's descriptor, or None while somebody else holds it."""
    deadline = time.monotonic() + patience_s
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_S)
            continue
        except OSError:
            os.close(descriptor)
            raise
        if _is_same(descriptor, file):
            return descriptor
        # The holder before removed the file between our open and our lock.
        os.close(descriptor)


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    except FileNotFoundError:
        return False


def _already_running(record: FleetRecord | None) -> str:
    who = f"pid {record.process.pid}, page {record.page}" if record else "starting"
    return (
        f"a fleet is already running ({who}); watch that one, or end it with "
        "'python scripts/stop.py --all' first"
    )
