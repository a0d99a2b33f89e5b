"""Events of the fleet on disk: JSON lines that outlive the orchestrator, however it ends."""

import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from metabonk.messages.feed import FleetEvent
from metabonk.system.log_files import previous, read_log
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

NAME = "events.jsonl"

MAX_BYTES = 1 << 20
"""Of some 200 each, 5,000 events; the previous part keeps as many once more."""

INTERVAL_S = 1.0
MAX_PENDING = 1_000
"""Events that wait for a disk; then the oldest are dropped."""


class EventFile:
    """File of events, written by a thread of its own: nobody else waits for the disk.

    Args:
        file: need not exist yet.
        max_bytes: of the file, and of its previous part.
    """

    name = "events"

    def __init__(self, file: Path, max_bytes: int = MAX_BYTES) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._pending: deque[FleetEvent] = deque(maxlen=MAX_PENDING)
        self._is_failing = False
        self._thread = PeriodicThread(self._write, INTERVAL_S, name=self.name, at_end=self._write)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what is pending, and end the thread; a disk that hangs is left behind."""
        self._thread.close()

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    def add(self, event: FleetEvent) -> None:
        """Have an event written within a second."""
        self._pending.append(event)

    def read(self) -> list[FleetEvent]:
        """Return the events that are kept, oldest first; of a damaged line, none."""
        text = read_log(self._file, 2 * self._max_bytes)
        return [event for line in text.splitlines() for event in _parse(line)]

    def _write(self) -> None:
        events = list(self._pending)
        if not events:
            return
        text = "".join(f"{event.model_dump_json()}\n" for event in events)
        try:
            self._append(text.encode())
        except OSError as error:
            if not self._is_failing:
                log.warning("%s can't be written: %s; events wait in memory", self._file, error)
            self._is_failing = True
            return
        self._is_failing = False
        # Those added meanwhile may have pushed out some of these.
        while self._pending and self._pending[0].id <= events[-1].id:
            self._pending.popleft()

    def _append(self, data: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._file.stat().st_size + len(data) > self._max_bytes:
                self._file.replace(previous(self._file))
        with self._file.open("ab") as stream:
            if stream.tell() and not _ends_with_newline(self._file):
                data = b"\n" + data  # A power cut has left a part of a line.
            stream.write(data)


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) == b"\n"


def _parse(line: str) -> Iterator[FleetEvent]:
    with contextlib.suppress(ValidationError):
        yield FleetEvent.model_validate_json(line)
