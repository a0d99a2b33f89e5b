"""What waits for the encoder: frames, and the thoughts that led to them."""

from collections import deque

from metabonk.encoding.frame import Frame
from metabonk.messages import Thought

QUEUED_FRAMES = 4
"""Pictures that wait for the encoder, which takes a third of the time between two: a hitch of the
machine of up to an eighth of a second costs none, and is caught up with at once."""

QUEUED_THOUGHTS = 64
"""They wait for their picture, seconds at the most; without an encoder they are worth nothing."""


class Inbox:
    """A bounded queue that drops its oldest frame. Not thread-safe.

    Attributes:
        dropped: frames, in all.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frames: deque[Frame] = deque()
        self._thoughts: deque[tuple[float, Thought]] = deque(maxlen=QUEUED_THOUGHTS)

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame, thought: Thought | None) -> bool:
        """Takes a frame, and what led to it.

        Returns:
            Whether an older one had to go for it.
        """
        if thought is not None:
            self._thoughts.append((frame.captured_at, thought))
        full = len(self._frames) >= QUEUED_FRAMES
        if full:
            self._frames.popleft()
            self.dropped += 1
        self._frames.append(frame)
        return full

    def take(self) -> Frame:
        """The oldest frame; there is one."""
        return self._frames.popleft()

    def thoughts_until(self, captured_at: float) -> list[Thought]:
        """Also those of frames that were dropped meanwhile."""
        due = []
        while self._thoughts and self._thoughts[0][0] <= captured_at:
            due.append(self._thoughts.popleft()[1])
        return due

    def clear(self) -> None:
        """Forgets the frames, which does not count as dropping them."""
        self._frames.clear()
