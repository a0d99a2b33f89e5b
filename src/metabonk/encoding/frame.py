"""The encoded form of a frame."""

from dataclasses import dataclass

from metabonk.frame import Frame as Frame

TIMESCALE = 90_000
"""Media time units per second: the clock of RTP and MPEG-TS, so that all outputs agree."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture of an H.264 stream (ITU-T H.264, 7.4.1.2.3).

    Attributes:
        data: Annex B bytes; an IDR picture has its SPS and PPS in front.
        captured_at: the frame's ``captured_at``, seconds on ``time.monotonic()``.
        keyframe: whether it is an IDR picture, so that decoding can start here.
    """

    data: bytes
    captured_at: float
    keyframe: bool
