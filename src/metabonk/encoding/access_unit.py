"""An encoded frame: the one unit that everything after the encoder passes on."""

from dataclasses import dataclass

TIMESCALE = 90_000
"""Media time units per second: the clock of RTP and MPEG-TS, so that all outputs agree."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded frame of an H.264 stream (ITU-T H.264, 7.4.1.2.3).

    Attributes:
        data: Annex B bytes; an IDR picture is preceded by its SPS and PPS.
        captured_at: the frame's ``captured_at``, seconds on ``time.monotonic()``.
        keyframe: True for an IDR picture, where decoding can start.
    """

    data: bytes
    captured_at: float
    keyframe: bool
