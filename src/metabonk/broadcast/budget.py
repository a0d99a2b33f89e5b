"""Share of a trainer's time that drawing in it may take. Pure."""

MEMORY_S = 5.0
"""Time that a share is kept over: after a pause, at most this much is drawn for."""


class DrawBudget:
    """Says when the next frame may be drawn.

    Args:
        share: of the wall clock that drawing may take, 0 to 1.
        fps: frames a second that are wanted at most.
        now_s: on any clock.
    """

    def __init__(self, share: float, fps: float, now_s: float) -> None:
        self._share = share
        self._period_s = 1 / fps
        self._next_s = now_s
        self._credit_s = 0.0
        self._counted_s = now_s
        self._cost_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Tell whether a frame is wanted, and there is time to draw one as long as the last."""
        if now_s < self._next_s:
            return False
        self._credit_s += self._share * (now_s - self._counted_s)
        self._credit_s = min(self._credit_s, max(self._share * MEMORY_S, self._cost_s))
        self._counted_s = now_s
        return self._credit_s >= self._cost_s

    def drew(self, began_s: float, ended_s: float) -> None:
        """Count a frame that was drawn."""
        self._cost_s = ended_s - began_s
        self._credit_s -= self._cost_s
        self._next_s = max(self._next_s + self._period_s, ended_s)
