"""Make before break: a worker stays live until the one that follows is ready. Pure.

The successor first has to finish its episode and render at the stream's size; until then the
previous holder keeps its session, so that viewers always have a stream. Where the limit allows one
session more, the successor is live before the holder ends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metabonk.encoding.capacity import Capacity
from metabonk.messages.workers import DesiredState
from metabonk.orchestrator.fleet.director import Assignment, Candidate

REPORTED_AFTER_S = 1.0
"""Two heartbeats: from then on a successor's state is a response to its assignment."""

MAX_PREPARATION_S = 4.0
"""By then a successor upscales what it renders and needs only the session."""


@dataclass(frozen=True, slots=True)
class _Transfer:
    successor: int
    since: float


class Handover:
    """Delays the end of a worker's place; remembers which worker follows which."""

    def __init__(self) -> None:
        self._live: set[int] = set()
        self._transfers: dict[int, _Transfer] = {}

    def apply(
        self,
        assignments: Mapping[int, Assignment],
        candidates: Iterable[Candidate],
        capacity: Capacity,
        now: float,
    ) -> dict[int, Assignment]:
        """Return the assignments with leaving workers kept live while their successor prepares.

        Args:
            assignments: of the director, by index.
            candidates: those the assignments are for.
            capacity: tells which workers share a pool.
            now: seconds, never less than in the previous call.
        """
        present = {candidate.index: candidate for candidate in candidates}
        live = {index for index, each in assignments.items() if each.desired is DesiredState.LIVE}
        coming = sorted(live - self._live)
        for leaving in sorted(self._live - live):
            pool = capacity.pool_of(leaving)
            coming.sort(key=lambda index: (capacity.pool_of(index) != pool, index))
            if coming:
                self._transfers[leaving] = _Transfer(coming.pop(0), now)
        self._live = live
        self._transfers = {
            leaving: transfer
            for leaving, transfer in self._transfers.items()
            if leaving in present
            and leaving not in live
            and transfer.successor in live
            and not _is_ready(present[transfer.successor], now - transfer.since)
        }
        kept = {
            leaving: Assignment(
                DesiredState.LIVE, f"live until {present[transfer.successor].shown_name} is ready"
            )
            for leaving, transfer in self._transfers.items()
        }
        return {**assignments, **kept}

    def forget(self, index: int) -> None:
        """Forget a worker that is gone for good: another one may get its index."""
        self._live.discard(index)
        self._transfers.pop(index, None)


def _is_ready(successor: Candidate, elapsed_s: float) -> bool:
    limit_s = MAX_PREPARATION_S if successor.preparing else REPORTED_AFTER_S
    return successor.live or elapsed_s >= limit_s
