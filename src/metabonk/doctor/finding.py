"""Something that was found out about this machine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so, and what to do about it.

    Attributes:
        what: is so.
        do: what to do about it; None where nothing has to be done.
        needed: whether a fleet can't run, or can't be watched, as it is.
        absent: it tells of something that isn't here and need not be.
    """

    what: str
    do: str | None = None
    needed: bool = False
    absent: bool = False

    @property
    def mark(self) -> str:
        """At a glance."""
        if self.do is None:
            return "–" if self.absent else "✓"
        return "✗" if self.needed else "·"
