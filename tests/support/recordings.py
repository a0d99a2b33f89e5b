"""Recorded streams of real access units."""

from collections.abc import Sequence

from metabonk.messages.streams import Thought
from metabonk.streaming.gop import Packer
from metabonk.streaming.recent import Gop, RecentGops
from tests.support.frames import encode_frames

FPS = 30
GOP = 14
"""Frames from one keyframe to the next."""

LATE = 0.004
"""Every second frame is late by so many seconds, as real ones are."""


def thought(number: int) -> Thought:
    """Return the thought that leads to frame ``number``."""
    return Thought(
        action=number % 2,
        probabilities=[0.5, 0.5],
        value=float(number),
        reward=0.0,
        episode_return=float(number),
        episode=1,
        step=number,
        decided_at=1e9 + number,
    )


def record(
    epochs: Sequence[tuple[float, int, tuple[int, int]]],
    *,
    seconds: float = 60.0,
    size: int = 1 << 30,
) -> RecentGops:
    """Return what is kept of a stream.

    Args:
        epochs: of each, when it starts, its frames, and their width and height.
        seconds: that are kept.
        size: that is kept, bytes.
    """
    packer, kept = Packer(), RecentGops(seconds, size)
    number = 0
    for starts_at, frames, shape in epochs:
        packer.open_epoch(*shape, FPS)
        times = [starts_at + i / FPS + LATE * (i % 2) for i in range(frames)]
        for unit in encode_frames(times, keyframes=range(0, frames, GOP), size=shape):
            _, fragment = packer.add(unit, [thought(number)])
            number += 1
            assert packer.epoch is not None and fragment is not None
            kept.add(packer.epoch, fragment)
    return kept


def times_of(gops: Sequence[Gop]) -> list[float]:
    return [frame.captured_at for gop in gops for frame in gop.frames]
