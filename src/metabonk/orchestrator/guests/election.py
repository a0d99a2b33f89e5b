"""Election of the process that shows environments of other trainers: one for each user.

The kernel's lock decides, in the folder where trainers look (``broadcast.meeting``). A fleet and
``metabonk watch`` take the place of a hub that a broadcast has started, and of nothing else.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel

from metabonk.broadcast.meeting import LOCK, MAX_RECORD_BYTES, meeting_folder, remove_told
from metabonk.errors import StartError
from metabonk.system.file_lock import is_same_file, lock, try_lock
from metabonk.system.json_text import from_json, to_json
from metabonk.system.process_ids import ProcessId, boot_id, end, process_id

Kind: TypeAlias = Literal["fleet", "watch", "hub", "join"]

HUB_STOP_S = 5.0
"""Longest time that a hub gets to end by itself."""

UNLOCK_S = 1.0


class ElectionRecord(BaseModel):
    """Content of the lock's file.

    Attributes:
        kind: of the process that was elected.
        process: that process.
        boot: of the machine; process ids have no meaning in another one.
        page: its address, for trainers and notebooks of this user; empty while it is starting.
    """

    kind: Kind
    process: ProcessId
    boot: str
    page: str = ""


class Election:
    """Candidacy of this process, until ``close``. Thread-safe.

    Args:
        kind: of this process.
    """

    def __init__(self, kind: Kind) -> None:
        process = process_id(os.getpid())
        assert process is not None, "/proc shows this process"
        self._record = ElectionRecord(kind=kind, process=process, boot=boot_id())
        self._guard = threading.Lock()
        self._file: Path | None = None
        self._descriptor: int | None = None
        self._is_closed = False

    @property
    def is_won(self) -> bool:
        """True while this process is the one that shows environments."""
        return self._descriptor is not None

    def run(self) -> bool:
        """Take the lock if it is free, anew where its file was removed; return whether it is won.

        Raises:
            OSError, StartError: there is no folder for it.
        """
        with self._guard:
            if self._is_closed:
                return False
            file = meeting_folder() / LOCK
            if self._descriptor is not None and is_same_file(self._descriptor, file):
                return True
            descriptor = try_lock(file)
            self._drop()
            if descriptor is not None:
                self._file, self._descriptor = file, descriptor
                self._write()
            return self.is_won

    def take_over(self) -> Iterator[str]:
        """Take the lock, and for that end a hub that has it; yield a line for what was ended.

        Raises:
            OSError, StartError: there is no folder for it.
        """
        if self.run():
            return
        holder = self.holder()
        if holder is None or holder.kind != "hub":
            return
        killed = end([holder.process], HUB_STOP_S)
        with contextlib.suppress(OSError):
            if (descriptor := lock(meeting_folder() / LOCK, UNLOCK_S)) is not None:
                os.close(descriptor)
        self.run()
        how = f"ended the hub (pid {holder.process.pid}), whose place this takes"
        yield f"{how}; it did not stop in time and was killed" if killed else how

    def holder(self) -> ElectionRecord | None:
        """Return the process that was elected; None if there is none, or it is not known."""
        try:
            with (meeting_folder() / LOCK).open("rb") as opened:
                record = from_json(ElectionRecord, opened.read(MAX_RECORD_BYTES))
        except (OSError, StartError, ValueError):
            return None
        return record if record.boot == boot_id() else None

    def announce(self, page: str) -> None:
        """Say where the page is, which is served from now on."""
        with self._guard:
            self._record = self._record.model_copy(update={"page": page})
            self._write()

    def close(self) -> None:
        """Leave the place to others; a second call does nothing."""
        with self._guard:
            self._is_closed = True
            if self._file is not None:
                remove_told(self._file.parent)
            self._drop()

    def _drop(self) -> None:
        if self._descriptor is None or self._file is None:
            return
        if is_same_file(self._descriptor, self._file):
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._file = self._descriptor = None

    def _write(self) -> None:
        if self._descriptor is None:
            return
        text = to_json(self._record) + b"\n"
        # Readers don't wait for the lock. Blanks after the text don't hurt them, half a text does.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, text.ljust(os.fstat(self._descriptor).st_size), 0)
            os.ftruncate(self._descriptor, len(text))
