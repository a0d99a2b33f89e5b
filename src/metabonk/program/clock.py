"""Times of a source's frames on this machine's clock. Pure."""

from metabonk.encoding.access_unit import TIMESCALE

MAX_LAG_S = 0.25
"""Frames that arrive this much later than their distance says follow a pause that was shortened."""


class SourceClock:
    """Keeps the distances at which frames were captured, whenever they arrive.

    Capture times don't travel, and arrival times are uneven. The frame that was on its way for the
    shortest time says where the source's clock is.
    """

    def __init__(self) -> None:
        self._zero: float | None = None

    def restart(self) -> None:
        """Forget where the clock is: an epoch has its own."""
        self._zero = None

    def at(self, decode_time: int, received_at: float) -> float:
        """Return when a frame was captured, seconds, monotonic; never later than it arrived.

        Args:
            decode_time: on the epoch's clock, ``1/TIMESCALE`` seconds.
            received_at: seconds, monotonic.
        """
        seconds = decode_time / TIMESCALE
        zero = received_at - seconds
        if self._zero is None or zero < self._zero or zero - self._zero > MAX_LAG_S:
            self._zero = zero
        return self._zero + seconds
