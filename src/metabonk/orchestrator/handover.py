"""Make before break: who passes a place on shows its picture until the successor is ready. Pure.

A successor first has to end its episode and to draw at the spectators' size. Only then does the
old holder let go, so that nobody looks at nothing meanwhile. Where the limit does allow one session
more, the successor is live before the old holder ends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metabonk.encoding.capacity import Capacity
from metabonk.messages import Desired
from metabonk.orchestrator.director import Candidate, Wish

HEARD_S = 1.0
"""Two heartbeats: after that a successor's state is an answer to its wish, not from before it."""

LONGEST_S = 4.0
"""A successor that is not ready by then is scaled up, and needs the session for it."""


@dataclass(frozen=True, slots=True)
class _Pass:
    successor: int
    since: float


class Handover:
    """Delays the end of a place; remembers who follows whom."""

    def __init__(self) -> None:
        self._live: set[int] = set()
        self._passes: dict[int, _Pass] = {}

    def apply(
        self,
        wishes: Mapping[int, Wish],
        candidates: Iterable[Candidate],
        capacity: Capacity,
        now: float,
    ) -> dict[int, Wish]:
        """The director's wishes, with those who pass a place on kept live until then.

        Args:
            wishes: by index.
            candidates: those the wishes are for.
            capacity: says whose sessions are alike.
            now: seconds, never less than in the call before.
        """
        present = {candidate.index: candidate for candidate in candidates}
        live = {index for index, wish in wishes.items() if wish.desired is Desired.LIVE}
        coming = sorted(live - self._live)
        for leaving in sorted(self._live - live):
            pool = capacity.pool_of(leaving)
            coming.sort(key=lambda index: (capacity.pool_of(index) != pool, index))
            if coming:
                self._passes[leaving] = _Pass(coming.pop(0), now)
        self._live = live
        self._passes = {
            leaving: passed
            for leaving, passed in self._passes.items()
            if leaving in present
            and leaving not in live
            and passed.successor in live
            and not _ready(present[passed.successor], now - passed.since)
        }
        kept = {
            leaving: Wish(Desired.LIVE, f"shown until omega-{passed.successor} is ready")
            for leaving, passed in self._passes.items()
        }
        return {**wishes, **kept}


def _ready(successor: Candidate, elapsed: float) -> bool:
    return successor.live or elapsed >= (LONGEST_S if successor.preparing else HEARD_S)
