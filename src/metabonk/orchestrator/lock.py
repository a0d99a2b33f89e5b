"""One fleet at a time on its ports, and its record for other commands.

The kernel's lock on the file decides; the text in it is for ``metabonk stop`` and for people.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from metabonk.errors import StartError
from metabonk.messages.base import Problem
from metabonk.orchestrator.guests.election import Kind
from metabonk.settings.commands import command
from metabonk.system.file_lock import FolderHold, is_same_file, lock, try_lock
from metabonk.system.json_text import from_json, to_json
from metabonk.system.process_ids import (
    ProcessId,
    boot_id,
    end,
    leftovers,
    orphans,
    process_id,
    wait_until_ended,
)

log = logging.getLogger(__name__)

TIMEOUT_S = 0.5
"""``metabonk stop`` holds the lock for a moment to see whether a fleet does."""

FILE_PREFIX = "fleet-"
MAX_RECORD_BYTES = 1 << 20

LEFTOVER_GRACE_S = 0.5

KILL_TIMEOUT_S = 2.0
"""A killed process ends in milliseconds, except in a driver that hangs."""


class FleetRecord(BaseModel):
    """Content of the lock file."""

    kind: Kind = "fleet"
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

    What a killed fleet left running on its port is ended first, since its record would be lost.
    Thread-safe.

    Args:
        folder: the runtime folder, this user's alone.
        port: of the orchestrator; each port has one fleet.
        page: address of the fleet's page.
        kind: of this process; a hub has the lock of a fleet as well.
        locate: returns the runtime folder to use now, where ``folder`` may be removed.

    Attributes:
        ended: a line for each process of a killed fleet that was ended.

    Raises:
        StartError: a fleet is already running, the file can't be used, or a process of a killed
            fleet can't be ended.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        page: str,
        kind: Kind = "fleet",
        locate: Callable[[], Path] | None = None,
    ) -> None:
        self._locate = locate or (lambda: folder)
        self._name = f"{FILE_PREFIX}{port}.lock"
        self._file = folder / self._name
        self._guard = threading.RLock()
        self._hold = FolderHold()
        self._descriptor: int | None = None
        self.ended: list[str] = []
        process = process_id(os.getpid())
        assert process is not None, "/proc shows this process"
        self._record = FleetRecord(kind=kind, process=process, boot=boot_id(), page=page)
        try:
            self._descriptor = lock(self._file, TIMEOUT_S)
            if self._descriptor is None:
                raise StartError(_already_running(read_record(self._file)))
            self._end_leftovers()
            self._hold.hold(folder)
            self._write()
        except OSError as error:
            self.close()
            raise StartError(
                f"can't write the lock file {self._file}: {error.strerror}. "
                "Set METABONK_PATHS_RUNTIME to a folder on a local disk that you can write to"
            ) from None

    def keep(self) -> list[Problem]:
        """Make the file anew where it was removed; return a problem if that is impossible."""
        try:
            with self._guard:
                reason = self._keep()
        except (StartError, OSError) as error:
            reason = str(error)
        if reason is None:
            return []
        return [
            Problem(
                message=f"the record of this fleet was removed and can't be made anew: {reason}",
                action=f"stop it with '{command('stop', '--all')}', which finds it by its port",
            )
        ]

    def set_settings_path(self, file: Path) -> None:
        """Record the file with the fleet's effective settings."""
        self._update(settings=file.absolute())

    def set_children(self, children: Mapping[str, ProcessId]) -> None:
        """Record the running children, for a command that may have to end them."""
        self._update(children=dict(children))

    def close(self) -> None:
        """Remove the file and release the lock; a second call does nothing."""
        with self._guard:
            self._hold.close()
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                self._remove(descriptor)

    def _keep(self) -> str | None:
        folder = self._locate()
        self._hold.hold(folder)
        file = folder / self._name
        if self._descriptor is None or is_same_file(self._descriptor, file):
            return None
        descriptor = try_lock(file)
        if descriptor is None:
            return f"another process holds {file}"
        before, self._descriptor = self._descriptor, descriptor
        # It is still there if the login session's folder has returned meanwhile.
        self._remove(before)
        self._file = file
        self._write()
        log.warning("the runtime folder was removed; %s is made anew", file)
        return None

    def _remove(self, descriptor: int) -> None:
        if is_same_file(descriptor, self._file):
            self._file.unlink(missing_ok=True)
        os.close(descriptor)

    def _end_leftovers(self) -> None:
        record = read_record(self._file)
        if record is None:
            return
        try:
            self.ended += end_leftovers(record)
        except StartError:
            # The record stays, for 'stop' to try again.
            assert self._descriptor is not None
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            raise

    def _update(self, **changes: object) -> None:
        with self._guard:
            self._record = self._record.model_copy(update=changes)
            # A full disk must not end a running fleet: the lock itself still holds.
            with contextlib.suppress(OSError):
                self._write()

    def _write(self) -> None:
        assert self._descriptor is not None, "not closed"
        text = to_json(self._record, indent=2) + b"\n"
        # Readers don't wait for the lock: over a longer record, the blanks keep this one readable.
        os.pwrite(self._descriptor, text.ljust(os.fstat(self._descriptor).st_size), 0)
        os.ftruncate(self._descriptor, len(text))


def clear_killed(folder: Path) -> Iterator[str]:
    """End what killed fleets left on any port, and remove their files; yield a line for each.

    Raises:
        StartError: a process can't be ended.
    """
    for file in lock_files(folder):
        if (descriptor := try_lock(file)) is not None:
            try:
                record = read_record(file)
                if record is not None:
                    yield from end_leftovers(record)
                file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def end_leftovers(record: FleetRecord) -> Iterator[str]:
    """End what is left of a killed fleet's children; yield a line for each.

    Raises:
        StartError: a process can't be ended.
    """
    if record.boot != boot_id():
        return
    left = {name: leftovers(session) for name, session in record.children.items()}
    # Such as the fork server, which is no child with a name.
    named = {process for processes in left.values() for process in processes}
    left["its other processes"] = [
        process for process in orphans(record.process.pid) if process not in named
    ]
    for name, processes in left.items():
        end(processes, LEFTOVER_GRACE_S)
        survivors = wait_until_ended(processes, KILL_TIMEOUT_S)
        if survivors:
            raise StartError(
                f"{_pids(survivors)}, left of {name}, can't be ended: the kernel keeps it, as in a "
                f"driver that hangs. '{command('stop', '--all')}' tries again"
            )
        if processes:
            yield f"ended leftovers of {name} ({_pids(processes)})"


def lock_files(folder: Path, port: int | None = None) -> list[Path]:
    """Return the lock files of all fleets, or of the one on ``port``."""
    return sorted(folder.glob(f"{FILE_PREFIX}{'*' if port is None else port}.lock"))


def read_record(file: Path) -> FleetRecord | None:
    """Return a fleet's record; None if there is no file or it can't be parsed."""
    try:
        with file.open("rb") as opened:
            return from_json(FleetRecord, opened.read(MAX_RECORD_BYTES))
    except (OSError, ValueError):
        return None


def remove_stale(file: Path) -> None:
    """Remove the lock file of a killed fleet; one that is locked stays."""
    descriptor = try_lock(file)
    if descriptor is not None:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _pids(processes: Sequence[ProcessId]) -> str:
    return f"pid {', '.join(str(process.pid) for process in processes)}"


def _already_running(record: FleetRecord | None) -> str:
    fleet = f"pid {record.process.pid}, page {record.page}" if record else "starting"
    kind = record.kind if record else "fleet"
    what = "a fleet" if kind == "fleet" else f"'metabonk {kind}'"
    return (
        f"{what} is already running ({fleet}); open its page, or stop it with "
        f"'{command('stop', '--all')}' first"
    )
