"""Frames on their way from the play thread to the encode thread."""

from collections import deque

from metabonk.frame import Frame

QUEUED_FRAMES = 4
"""Frames that wait for the encoder, which takes a third of the time between two: a hitch of up to
an eighth of a second loses none."""

QUEUED_THOUGHTS = 64
"""Most thoughts a frame inherits from frames dropped before it."""


class FrameQueue:
    """Bounded queue that drops its oldest frame. Not thread-safe.

    Attributes:
        dropped: frames dropped in all.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frames: deque[Frame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Append a frame; return whether an older one was dropped for it.

        The thoughts of a dropped frame go to the next one.
        """
        full = len(self._frames) >= QUEUED_FRAMES
        if full:
            lost = self._frames.popleft()
            heir = self._frames[0]
            heir.thoughts = (*lost.thoughts, *heir.thoughts)[-QUEUED_THOUGHTS:]
            self.dropped += 1
        self._frames.append(frame)
        return full

    def take(self) -> Frame:
        """Remove and return the oldest frame."""
        return self._frames.popleft()

    def clear(self) -> None:
        """Discard all frames, without counting them as dropped."""
        self._frames.clear()
