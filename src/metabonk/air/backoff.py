"""Pauses between attempts to go on air. Pure."""

FIRST_S = 1.0
MAX_S = 15.0

STABLE_S = 30.0
"""A connection that lasted this long did not break because of how it was made."""


class Backoff:
    """Doubles the pause with each short connection, for ever."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, lasted_s: float) -> float:
        """Return the pause after a connection that lasted so many seconds, or an attempt at one."""
        if lasted_s >= STABLE_S:
            self._next_s = FIRST_S
        pause_s, self._next_s = self._next_s, min(MAX_S, 2 * self._next_s)
        return pause_s
