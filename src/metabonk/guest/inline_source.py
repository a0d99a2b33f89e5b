"""Pictures that a trainer draws itself."""

import contextlib
import time

from metabonk.broadcast.records import FrameRecord, Record, decode_payload
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.trainer_speed import TrainerSpeed
from metabonk.errors import ReplayError, WireError
from metabonk.messages.workers import Drawn

DEMAND_S = 2.0
"""Time that the trainer draws without being asked again."""

RENEW_S = 0.5
SNAPSHOT_S = 1.0


class InlineSource:
    """Reads the trainer's own ring.

    Args:
        reader: of the trainer's ring, which the source takes over.
        no_frames: why the trainer can't draw; empty if it can.
    """

    def __init__(self, reader: RingReader, no_frames: str = "") -> None:
        if reader.file is None:
            raise ValueError("a trainer's ring has a name")
        self._reader, self._file = reader, reader.file
        self._no_frames = no_frames
        self._speed = TrainerSpeed()
        self._missed = reader.missed
        self._demand, self._demanded_at = Demand.NOTHING, 0.0
        self._asked_at: float | None = None
        self._fps = 0
        self._drawn_at = self._next_at = float("-inf")

    @property
    def drawn(self) -> Drawn:
        """Always the trainer."""
        return Drawn.INLINE

    @property
    def note(self) -> str:
        """Always empty: why there is no shadow is known elsewhere."""
        return ""

    @property
    def steps_per_s(self) -> float | None:
        """Steps per second in the trainer; None while that is asked for nothing."""
        if self._asked_at is None:
            return None
        return self._speed.steps_per_s(self._asked_at, time.monotonic())

    def ask(self, fps: int) -> None:
        """Ask the trainer for frames; for one a second, only until it has drawn that.

        Raises:
            ReplayError: it can't draw.
            OSError: its ring is gone.
            WireError: its ring is damaged.
        """
        if self._no_frames:
            raise ReplayError(self._no_frames)
        if self._demand is Demand.NOTHING:
            self._reader.skip()
        self._fps = fps
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        is_due = fps > 1 or now - self._drawn_at > SNAPSHOT_S
        demand = Demand.FRAMES if is_due else Demand.RECORDS
        if demand is not self._demand or now - self._demanded_at > RENEW_S:
            self._demand, self._demanded_at = demand, now
            set_demand(self._file, demand, DEMAND_S)

    def read(self) -> tuple[list[Record], bool]:
        """Return the records since the last call, and whether some before them were missed.

        Raises:
            OSError: the ring is gone.
            WireError: it is damaged.
        """
        found = list[Record]()
        for entry in self._reader.read():
            records = decode_payload(entry.payload, entry.pixels)
            has_gap = self._reader.missed > self._missed
            self._speed.add(entry.written_at, records, has_gap=has_gap)
            found += filter(self._is_due, records)
        has_gap, self._missed = self._reader.missed > self._missed, self._reader.missed
        if not found and (successor := self._reader.successor()) is not None:
            # The trainer made a larger ring, as its frames did not fit.
            self._reader.close()
            self._reader, self._missed = successor, 0
        return found, has_gap

    def _is_due(self, record: Record) -> bool:
        """Tell whether a record is to be shown: a frame of a faster game may not be."""
        if not isinstance(record, FrameRecord):
            return True
        self._drawn_at = time.monotonic()
        if record.captured_at < self._next_at:
            return False
        period_s = 1 / max(1, self._fps)
        self._next_at = max(self._next_at + period_s, record.captured_at + period_s / 2)
        return True

    def close(self) -> None:
        """Ask the trainer for nothing any more."""
        self._asked_at = None
        if self._demand is not Demand.NOTHING:
            self._demand = Demand.NOTHING
            with contextlib.suppress(OSError, WireError):  # It may be gone.
                set_demand(self._file, Demand.NOTHING, 0)
