"""A table on disk that all processes of this user read and add to: what they learned of encoders.

Losing it costs a few probes, so nothing fails for it: what can't be saved is kept in memory.
"""

import logging
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from metabonk.encoding.sessions.slots import SlotFolderError, locked
from metabonk.errors import StartError
from metabonk.system.files import move_aside_corrupt, write_atomically
from metabonk.system.private_folder import private_folder

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 1.0
"""A write takes milliseconds, and all workers may write at once; the supervision writes too."""

Entry = TypeVar("Entry", bound=BaseModel)


class SharedTable(Generic[Entry]):
    """Entries by key.

    Args:
        file: of the table, in a private folder, which is made anew if it was removed.
        entry: type of an entry.
    """

    def __init__(self, file: Path, entry: type[Entry]) -> None:
        self._file = file
        self._adapter = TypeAdapter(dict[str, entry])  # type: ignore[valid-type]
        self._unsaved: dict[str, Entry] = {}

    def get(self, key: str) -> Entry | None:
        """Return an entry; None if there is none."""
        return self._unsaved.get(key) or self._read().get(key)

    def put(self, key: str, entry: Entry) -> None:
        """Add or replace an entry."""
        try:
            private_folder(self._file.parent, setting="METABONK_NVENC_SLOT_DIR")
            with locked(self._file.with_suffix(".lock"), LOCK_TIMEOUT_S):
                entries = self._read() | {key: entry}
                write_atomically(self._file, self._adapter.dump_json(entries))
        except (SlotFolderError, StartError, OSError) as error:
            self._unsaved[key] = entry
            log.warning("%s can't be saved and is known to this process only: %s", key, error)
        else:
            self._unsaved.pop(key, None)

    def _read(self) -> dict[str, Entry]:
        try:
            return self._adapter.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("%s can't be read: %s", self._file, error.strerror)
            return {}
        except ValidationError as error:
            move_aside_corrupt(self._file, error)
            return {}
