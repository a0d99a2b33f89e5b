"""Pictures on their way into the stream, at its pace."""

import dataclasses
import math
import time

from metabonk.broadcast.records import FrameRecord
from metabonk.frame import Frame
from metabonk.guest.picture import fit, snapshot_of
from metabonk.messages.streams import Thought
from metabonk.system.tic_clock import TicClock
from metabonk.worker.stream import WorkerStream

REPEAT_S = 1.0
"""Time for which a picture is repeated at the stream's rate, unless a newer one comes."""


class Screen:
    """Shows pictures, and the last one again while none comes: a trainer may pause for long.

    Args:
        stream: takes them.
        tics_per_s: pace of the game.
    """

    def __init__(self, stream: WorkerStream, tics_per_s: float) -> None:
        self._stream = stream
        self._tics_per_s = tics_per_s
        self._clock: TicClock | None = None
        self._fps = 0
        self._record: FrameRecord | None = None
        self._frame: Frame | None = None
        self._drawn_at = self._shown_at = float("-inf")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the last picture, as it was drawn."""
        if self._record is None:
            return 0, 0
        return self._record.pixels.shape[1], self._record.pixels.shape[0]

    def take_snapshot(self, record: FrameRecord) -> None:
        """Show a picture in snapshots only."""
        self._record, self._frame = record, None
        self._stream.set_snapshot(_snapshot(record))

    def show(self, record: FrameRecord, thoughts: tuple[Thought, ...], fps: int) -> None:
        """Show a picture in the stream.

        Args:
            record: the picture.
            thoughts: that led to it.
            fps: rate of the stream.
        """
        size = self._stream.render_size
        if size is None:
            self.take_snapshot(record)
            return
        if fps != self._fps or self._clock is None:
            self._fps, self._clock = fps, TicClock(self._tics_per_s, fps)
        frame = Frame(fit(record.pixels, *size), record.captured_at)
        frame.thoughts = thoughts
        waited_s = record.captured_at - self._drawn_at - record.drawing_s
        self._record, self._frame = record, frame
        self._drawn_at, self._shown_at = record.captured_at, time.monotonic()
        self._stream.submit_frame(
            frame,
            waited_s=min(max(0.0, waited_s), REPEAT_S),
            repeat_at=self._repeat_at(frame.captured_at, max(1, self._clock.count_frames())),
            snapshot=_snapshot(record),
        )

    def keep_up(self, fps: int) -> None:
        """Show the last picture again, if no newer one came for long."""
        now = time.monotonic()
        if self._record is None or now - self._shown_at < REPEAT_S:
            return
        if self._frame is None:  # The stream has begun since it was drawn.
            self.show(dataclasses.replace(self._record, captured_at=now), (), fps)
            return
        self._shown_at = now
        again = self._frame.repeat(now)
        repeat_at = _slots(now, now + 1 / fps, fps)
        self._stream.submit_frame(
            again, waited_s=REPEAT_S, repeat_at=repeat_at, snapshot=_snapshot(self._record)
        )

    def _repeat_at(self, drawn_at: float, frames: int) -> tuple[float, ...]:
        """Return when to repeat a picture: in its tic's slots, and while the next one is late."""
        assert self._clock is not None
        tics = math.ceil(self._tics_per_s / self._fps)  # At most, until the next one is drawn.
        late = drawn_at + tics / self._tics_per_s + 0.5 / self._fps
        in_time = self._clock.repeat_at(drawn_at, frames)
        return (*in_time, *_slots(drawn_at, late, self._fps))


def _snapshot(record: FrameRecord) -> Frame:
    return Frame(snapshot_of(record.pixels), record.captured_at)


def _slots(drawn_at: float, first: float, fps: int) -> tuple[float, ...]:
    count = round((drawn_at + REPEAT_S - first) * fps)
    return tuple(first + number / fps for number in range(count + 1))
