"""The last minute of a stream, one copy for all viewers. Pure.

Whole groups of pictures (GOPs) are kept, so that what is kept always begins at a keyframe, and
across epochs: a change of encoder or a short standby doesn't cut the past off.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from metabonk.streaming.gop import Epoch, Fragment


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame of the past.

    Attributes:
        captured_at: seconds, monotonic.
        decode_time: on the epoch's clock, ``1/TIMESCALE`` seconds.
        data: ``moof`` and ``mdat``, the very bytes that viewers get.
        thoughts: see ``Fragment``.
    """

    captured_at: float
    decode_time: int
    data: bytes
    thoughts: tuple[str, ...]


@dataclass(slots=True)
class Gop:
    """A keyframe and the frames up to the next one.

    Attributes:
        epoch: of all its frames.
        frames: at least one once it is kept.
        size: bytes.
    """

    epoch: Epoch
    frames: list[RecordedFrame] = field(default_factory=list)
    size: int = 0


class RecentGops:
    """The GOPs of the last ``seconds``, or fewer where they are more than ``size`` bytes.

    Args:
        seconds: the oldest GOP kept is the one that was shown that long ago.
        size: bytes.
    """

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._limit = size
        self._gops: deque[Gop] = deque()
        self._size = 0

    def add(self, epoch: Epoch, fragment: Fragment) -> None:
        """Keep a frame, and drop what is now too old or too much."""
        if fragment.keyframe:
            self._gops.append(Gop(epoch))
        elif not self._gops or self._gops[-1].epoch is not epoch:
            return
        frame = RecordedFrame(
            fragment.unit.captured_at, fragment.decode_time, fragment.data, fragment.thoughts
        )
        size = len(frame.data) + sum(map(len, frame.thoughts))
        self._gops[-1].frames.append(frame)
        self._gops[-1].size += size
        self._size += size
        while self._size > self._limit:
            self._drop_first()
        self._drop_before(frame.captured_at - self._seconds)

    def expire(self, now: float) -> None:
        """Drop what is too old, also where nothing is added any more.

        Args:
            now: seconds, monotonic.
        """
        oldest = now - self._seconds
        self._drop_before(oldest)
        if self._gops and self._gops[-1].frames[-1].captured_at < oldest:
            self._drop_first()

    def last(self, seconds: float) -> list[Gop]:
        """Return the GOPs of the last ``seconds`` before the newest frame, the oldest first."""
        if not self._gops:
            return []
        return self.since(self._gops[-1].frames[-1].captured_at - seconds)

    def since(self, captured_at: float) -> list[Gop]:
        """Return the GOPs from the one shown at ``captured_at``, seconds, on; all if none was."""
        first = max(
            (i for i, gop in enumerate(self._gops) if gop.frames[0].captured_at <= captured_at),
            default=0,
        )
        return [
            Gop(gop.epoch, gop.frames.copy(), gop.size) for gop in islice(self._gops, first, None)
        ]

    def _drop_before(self, captured_at: float) -> None:
        while len(self._gops) > 1 and self._gops[1].frames[0].captured_at <= captured_at:
            self._drop_first()

    def _drop_first(self) -> None:
        self._size -= self._gops.popleft().size
