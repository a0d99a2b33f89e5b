"""Pace of a live game, and the frames of its stream that each tic fills. Pure."""

from fractions import Fraction

MAX_DENOMINATOR = 1000
"""Largest denominator of a rate: 29.97 tics a second are 2,997 in 100."""


class TicClock:
    """Lets a game run at its own pace, whatever the frame rate of its stream.

    A tic fills as many frames as slots of the stream fall into its time: several, one or none. That
    is counted, not measured, so jitter neither skips nor repeats a tic. The first frame is shown as
    soon as it is drawn, the others at even distances. A delay of up to one tic is made up for; of a
    longer one nothing is, since a game that hurries looks worse than a pause.

    Each tic is a call of ``count_frames`` and one of ``wait_s``.

    Args:
        tics_per_s: pace of the game.
        fps: frames per second of the stream.
    """

    def __init__(self, tics_per_s: float, fps: int) -> None:
        self._tic_s = 1.0 / tics_per_s
        pace = Fraction(tics_per_s).limit_denominator(MAX_DENOMINATOR)
        self._slot_tics = pace / fps
        self._next_slot = Fraction(0)  # Tics from the start of the next tic.
        self._due: float | None = None

    def count_frames(self) -> int:
        """Return how many frames of the stream the next tic fills."""
        frames = 0
        while self._next_slot < 1:
            self._next_slot += self._slot_tics
            frames += 1
        self._next_slot -= 1
        return frames

    def repeat_at(self, now: float, frames: int) -> tuple[float, ...]:
        """Return when to repeat a tic that was drawn ``now`` and fills so many frames.

        Times are seconds, monotonic.
        """
        return tuple(now + self._tic_s * number / frames for number in range(1, frames))

    def wait_s(self, now: float) -> float:
        """Return the seconds to wait ``now`` (monotonic), after a tic, before the next one."""
        self._due = (now if self._due is None else self._due) + self._tic_s
        if now - self._due > self._tic_s:
            self._due = now
        return max(0.0, self._due - now)
