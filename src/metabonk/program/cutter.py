"""The choice between sources, frame by frame. Pure.

Sources are joined before they are shown, so that one follows the other without a gap: the one in
front goes on until a keyframe of a better one arrives. A source that fell silent is let go, as
frames of the card between two of its own would be taken for their references.
"""

from collections.abc import Sequence
from enum import Enum, auto

CARD_AFTER_S = 0.6
"""Time without a frame after which the card is shown; with its own delay, no gap lasts a second."""

QUIET_S = 0.25
"""Time without a frame of the source in front after which any other may take its place."""


class Verdict(Enum):
    """Fate of a frame."""

    SHOWN = auto()
    CUT = auto()
    """It is the first of its source."""

    DROPPED = auto()
    AWAITS_KEYFRAME = auto()
    """Its source would be shown, from a keyframe on."""


class Cutter:
    """Chooses whose frames are shown.

    Args:
        now: monotonic seconds.

    Attributes:
        in_front: the source that is shown; None for the card, and before the first frame.
    """

    def __init__(self, now: float) -> None:
        self.in_front: str | None = None
        self._order: tuple[str, ...] = ()
        self._shown_at = now

    def set_order(self, sources: Sequence[str]) -> None:
        """Set which sources may be shown; the first is the one that should be."""
        self._order = tuple(sources)

    def judge(self, source: str, now: float, *, keyframe: bool) -> Verdict:
        """Return what happens to a frame of a source.

        Args:
            source: that it came from.
            now: monotonic seconds.
            keyframe: decoding can start with it.
        """
        if source == self.in_front:
            self._shown_at = now
            return Verdict.SHOWN
        if not self._may_follow(source, now):
            return Verdict.DROPPED
        if not keyframe:
            return Verdict.AWAITS_KEYFRAME
        self.in_front, self._shown_at = source, now
        return Verdict.CUT

    def lose(self, source: str) -> None:
        """Note that a source's stream has ended."""
        if source == self.in_front:
            self.in_front = None

    @property
    def shows_card(self) -> bool:
        """The card is in front, and no source has been since it was due."""
        return self.in_front is None and self._shown_at == float("-inf")

    def is_card_due(self, now: float) -> bool:
        """Tell whether the card is to be shown; it then is in front."""
        if self.shows_card:
            return True
        if now - self._shown_at < CARD_AFTER_S:
            return False
        self.in_front, self._shown_at = None, float("-inf")
        return True

    def _may_follow(self, source: str, now: float) -> bool:
        if source not in self._order:
            return False
        if self.in_front not in self._order:
            return True
        is_better = self._order.index(source) < self._order.index(self.in_front)
        return is_better or now - self._shown_at >= QUIET_S
