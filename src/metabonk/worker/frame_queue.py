"""Frames on their way from the play thread to the encode thread."""

from collections import deque
from collections.abc import Sequence
from math import inf

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.frame import Frame

QUEUED_FRAMES = 4
"""Frames that wait for the encoder, which takes a third of the time between two: a hitch of up to
an eighth of a second loses none."""

QUEUED_THOUGHTS = 64
"""Most thoughts a frame inherits from frames dropped before it."""


class FrameQueue:
    """Bounded queue that drops its oldest frame, and repeats its last one. Not thread-safe.

    Attributes:
        dropped: frames dropped in all, without repeats.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frames: deque[tuple[Frame, Sequence[float]]] = deque()
        self._taken: Frame | None = None
        self._repeat_at: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame, repeat_at: Sequence[float] = ()) -> bool:
        """Append a frame; return whether an older one was dropped for it.

        The thoughts of a dropped frame go to the next one.

        Args:
            frame: newer than those before.
            repeat_at: when to take it again, seconds, monotonic, ascending; a newer frame ends
                that.
        """
        full = len(self._frames) >= QUEUED_FRAMES
        if full:
            lost, _ = self._frames.popleft()
            heir, _ = self._frames[0]
            heir.thoughts = (*lost.thoughts, *heir.thoughts)[-QUEUED_THOUGHTS:]
            self.dropped += 1
        self._frames.append((frame, repeat_at))
        return full

    def due_at(self) -> float:
        """Return when there is something to take, seconds, monotonic; -inf: now; inf: unknown."""
        if self._frames:
            return -inf
        return self._repeat_at[0] if self._repeat_at else inf

    def take(self) -> Frame:
        """Remove and return the oldest frame; its time is later than that of the one before."""
        frame, repeat_at = self._frames.popleft()
        if self._taken is not None:
            # A frame that was drawn early may be older than a repeat.
            frame.captured_at = max(frame.captured_at, self._taken.captured_at + 1 / TIMESCALE)
        self._taken, self._repeat_at = frame, deque(repeat_at)
        return frame

    def repeat(self) -> Frame:
        """Return the frame that was taken last, at the time for which it is to be repeated."""
        assert self._taken is not None, "repeats are of a frame that was taken"
        self._taken = self._taken.repeat(self._repeat_at.popleft())
        return self._taken

    def clear(self) -> None:
        """Discard all frames, without counting them as dropped."""
        self._frames.clear()
        self._taken = None
        self._repeat_at.clear()
