"""Source of a guest's pictures."""

from typing import Protocol

from metabonk.broadcast.records import Record
from metabonk.messages.workers import Drawn


class Source(Protocol):
    """Records of what is to be shown, with pictures."""

    @property
    def drawn(self) -> Drawn:
        """Process that draws them."""
        ...

    @property
    def note(self) -> str:
        """Sentence for viewers; empty: there is nothing to say."""
        ...

    @property
    def steps_per_s(self) -> float | None:
        """Steps per second of the environment in the trainer; None: not known."""
        ...

    def ask(self, fps: int) -> None:
        """Say how many frames a second are wanted; to be repeated while they are.

        Raises:
            ReplayError: there can be none from here; says why.
            OSError: the trainer's ring is gone.
            WireError: it is damaged.
        """
        ...

    def read(self) -> tuple[list[Record], bool]:
        """Return the records since the last call, and whether some before them were missed.

        Raises:
            ReplayError, OSError, WireError: see ``ask``.
        """
        ...

    def close(self) -> None:
        """Ask for nothing any more. ``ask`` may be called again."""
        ...
