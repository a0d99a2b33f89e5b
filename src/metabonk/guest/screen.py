"""Pictures on their way into the stream, at its pace."""

import time

from metabonk.broadcast.records import FrameRecord
from metabonk.frame import Frame
from metabonk.guest.picture import fit, snapshot_of
from metabonk.stream_messages import Thought
from metabonk.system.tic_clock import TicClock
from metabonk.worker.stream import WorkerStream

REPEAT_S = 1.0
"""Time for which a picture is repeated at the stream's rate, unless a newer one comes."""


class Screen:
    """Shows pictures, and the last one again while none comes: a trainer may pause for long.

    Args:
        stream: takes them.
        tics_per_s: pace of the game.

    Attributes:
        size: width and height of the last picture, as it was drawn.
    """

    def __init__(self, stream: WorkerStream, tics_per_s: float) -> None:
        self._stream = stream
        self._tics_per_s = tics_per_s
        self._clock: TicClock | None = None
        self._fps = 0
        self._last: Frame | None = None
        self._drawn_at = self._shown_at = float("-inf")
        self.size = (0, 0)

    def show(self, record: FrameRecord, thoughts: tuple[Thought, ...], fps: int | None) -> None:
        """Show a picture.

        Args:
            record: the picture.
            thoughts: that led to it.
            fps: rate of the stream; None: only snapshots are wanted.
        """
        self.size = record.pixels.shape[1], record.pixels.shape[0]
        snapshot = Frame(snapshot_of(record.pixels), record.captured_at)
        size = self._stream.render_size
        if fps is None or size is None:
            self._stream.set_snapshot(snapshot)
            return
        if fps != self._fps or self._clock is None:
            self._fps, self._clock = fps, TicClock(self._tics_per_s, fps)
        frame = Frame(fit(record.pixels, *size), record.captured_at)
        frame.thoughts = thoughts
        waited_s = max(0.0, record.captured_at - self._drawn_at - record.drawing_s)
        self._last, self._drawn_at = frame, record.captured_at
        self._shown_at = time.monotonic()
        self._stream.submit_frame(
            frame,
            waited_s=min(waited_s, REPEAT_S),
            repeat_at=self._repeat_at(frame.captured_at, max(1, self._clock.count_frames())),
            snapshot=snapshot,
        )

    def keep_up(self, fps: int) -> None:
        """Show the last picture again, if no newer one came for long."""
        now = time.monotonic()
        if self._last is None or now - self._shown_at < REPEAT_S:
            return
        self._shown_at = now
        self._stream.submit_frame(
            self._last.repeat(now), waited_s=REPEAT_S, repeat_at=_slots(now, now + 1 / fps, fps)
        )

    def forget(self) -> None:
        """Forget the last picture, as the stream has ended."""
        self._last, self._drawn_at = None, float("-inf")

    def _repeat_at(self, drawn_at: float, frames: int) -> tuple[float, ...]:
        """Return when to repeat a picture: in its tic's slots, and while the next one is late."""
        assert self._clock is not None
        tic_s = max(1 / self._tics_per_s, 1 / self._fps)
        late = drawn_at + tic_s + 0.5 / self._fps
        in_time = self._clock.repeat_at(drawn_at, frames)
        return (*in_time, *_slots(drawn_at, late, self._fps))


def _slots(drawn_at: float, first: float, fps: int) -> tuple[float, ...]:
    count = round((drawn_at + REPEAT_S - first) * fps)
    return tuple(first + number / fps for number in range(count + 1))
