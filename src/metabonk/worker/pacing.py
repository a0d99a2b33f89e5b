"""Keeps live play at the stream's frame rate. Pure."""


class Pacer:
    """Says how long to rest after each frame, before the next one is drawn.

    A frame is handed over as soon as it is drawn, and rested after: whoever watches has it as much
    sooner as the game is faster than the stream.

    A game that falls behind is not chased: after a late frame the following ones keep their
    distance from it, since frames in a burst would look worse than a short pause.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: float) -> None:
        self._interval = 1.0 / fps
        self._due: float | None = None

    def wait(self, now: float) -> float:
        """Seconds to sleep after the frame that was handed over at ``now`` (monotonic)."""
        if self._due is None or now - self._due > self._interval:
            self._due = now
        self._due += self._interval
        return max(0.0, self._due - now)
