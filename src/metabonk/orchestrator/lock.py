"""One fleet at a time on its ports, and its record for other commands.

The kernel's lock on the file decides; the text in it is for ``metabonk stop`` and for people.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from metabonk.errors import StartError
from metabonk.system.file_lock import lock, try_lock
from metabonk.system.process_ids import ProcessId, boot_id, process_id

TIMEOUT_S = 0.5
"""``metabonk stop`` holds the lock for a moment to see whether a fleet does."""

MAX_RECORD_BYTES = 1 << 20


class FleetRecord(BaseModel):
    """Content of the lock file."""

    process: ProcessId
    boot: str
    """Process ids and start times have no meaning in another boot."""
    page: str
    settings: Path | None = None
    """File with the fleet's effective settings, once they are written."""
    children: dict[str, ProcessId] = {}
    """Leader of each child's session, by name."""


class FleetLock:
    """Lock that a fleet holds until ``close``, acquired on construction.

    Args:
        folder: the runtime folder, this user's alone.
        port: of the orchestrator; each port has one fleet.
        page: address of the fleet's page.

    Raises:
        StartError: a fleet is already running, or the file can't be used.
    """

    def __init__(self, folder: Path, port: int, *, page: str) -> None:
        self._file = folder / f"fleet-{port}.lock"
        self._descriptor: int | None = None
        process = process_id(os.getpid())
        assert process is not None, "/proc shows this process"
        self._record = FleetRecord(process=process, boot=boot_id(), page=page)
        try:
            self._descriptor = lock(self._file, TIMEOUT_S)
            if self._descriptor is None:
                raise StartError(_already_running(read_record(self._file)))
            self._write()
        except OSError as error:
            self.close()
            raise StartError(
                f"can't write the lock file {self._file}: {error.strerror}. "
                "Set METABONK_PATHS_RUNTIME to a folder on a local disk that you can write to"
            ) from None

    def set_settings_path(self, file: Path) -> None:
        """Record the file with the fleet's effective settings."""
        self._update(settings=file.absolute())

    def set_children(self, children: Mapping[str, ProcessId]) -> None:
        """Record the running children, for a command that may have to end them."""
        self._update(children=dict(children))

    def close(self) -> None:
        """Remove the file and release the lock; a second call does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._file.unlink(missing_ok=True)
            os.close(descriptor)

    def _update(self, **changes: object) -> None:
        self._record = self._record.model_copy(update=changes)
        # A full disk must not end a running fleet: the lock itself still holds.
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        assert self._descriptor is not None, "not closed"
        text = self._record.model_dump_json(indent=2).encode() + b"\n"
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


def lock_files(folder: Path, port: int | None = None) -> list[Path]:
    """Return the lock files of all fleets, or of the one on ``port``."""
    return sorted(folder.glob("fleet-*.lock" if port is None else f"fleet-{port}.lock"))


def read_record(file: Path) -> FleetRecord | None:
    """Return a fleet's record; None if there is no file or it can't be parsed."""
    try:
        with file.open("rb") as opened:
            return FleetRecord.model_validate_json(opened.read(MAX_RECORD_BYTES))
    except (OSError, ValidationError):
        return None


def remove_stale(file: Path) -> None:
    """Remove the lock file of a killed fleet; one that is locked stays."""
    descriptor = try_lock(file)
    if descriptor is not None:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _already_running(record: FleetRecord | None) -> str:
    fleet = f"pid {record.process.pid}, page {record.page}" if record else "starting"
    return (
        f"a fleet is already running ({fleet}); open its page, or stop it with "
        "'python scripts/stop.py --all' first"
    )
