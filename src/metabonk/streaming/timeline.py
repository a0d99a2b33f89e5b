"""When a picture is shown on its epoch's clock. Pure.

Media Source Extensions throw away every picture up to the next keyframe after a step of more than
twice the last picture's duration (coded frame processing, step 6 of the loop), and playback then
stops at the hole. Seen with Chromium 156: one frame that came 70 ms after another, with 33 ms
declared as its duration, froze the picture for two seconds. A fragment leaves before the next frame
is known, so its duration is a promise; hence two rules:

- A sample declares more than the nominal duration, so that jitter and a lost frame or two stay
  within what players take. The next sample ends it when it comes.
- A longer pause (a game that loads, an encoder that waits for a core) is shortened to what players
  take, and all later pictures come earlier by as much. For someone who watches live, nothing is
  lost: nothing was drawn in that time.
"""

from metabonk.streaming.fmp4 import TIMESCALE

DECLARED_S = 1 / 15
"""Least duration that a sample declares: bridges pauses of up to 133 ms. More would let players
believe that they have more pictures than they do, and play too close to the edge."""


class Timeline:
    """Places pictures of one epoch; the first is at zero.

    Args:
        fps: nominal frames per second.

    Attributes:
        duration: that every sample declares, ``1/TIMESCALE`` seconds.
    """

    def __init__(self, fps: int) -> None:
        self.duration = round(max(1 / fps, DECLARED_S) * TIMESCALE)
        # A millisecond less than the limit: players round to their own clock's units.
        self._longest_step = 2 * self.duration - TIMESCALE // 1000
        self._zero: float | None = None
        self._last = -1

    def at(self, captured_at: float) -> int:
        """The decode time of a picture that was captured then; 0 before the first is placed."""
        return 0 if self._zero is None else round((captured_at - self._zero) * TIMESCALE)

    def place(self, captured_at: float) -> int:
        """The decode time, ``1/TIMESCALE`` seconds, of a picture newer than the one before.

        Args:
            captured_at: seconds, monotonic.
        """
        if self._zero is None:
            self._zero = captured_at
        time = round((captured_at - self._zero) * TIMESCALE)
        excess = time - self._last - self._longest_step
        if self._last >= 0 and excess > 0:
            self._zero += excess / TIMESCALE
            time -= excess
        self._last = max(time, self._last + 1)
        return self._last
