"""Who should be live when there are more workers than encoder sessions. Pure: no I/O, no clock.

The rules, strongest first:

1. A worker that somebody watches keeps its place, whatever else is asked for.
2. A worker that somebody opens gets the next place: a free one, else that of the worker which has
   been shown longest and is not watched.
3. Free places go round, the worker that has waited longest first; at the start, by index.
4. A worker that nobody watches makes room after ``rotate_s``, if another one has never been shown
   or has waited as long.

Against flapping: a place is kept for ``MIN_LIVE_S`` once given, and a viewer counts for
``VIEWER_GRACE_S`` after leaving, so that a reload of the page costs nobody anything.

A worker takes the sessions of its own GPU, so places are not all alike: it gets only one that it
could use, and waits only for such.

The director only wishes. Encoder sessions are guarded by their leases, so a wish that comes before
the old holder has let go opens nothing too early.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metabonk.encoding.capacity import Capacity
from metabonk.messages import DesiredState, StreamState, WorkerStatus

MIN_LIVE_S = 5.0
VIEWER_GRACE_S = 5.0
FAILING_S = 15.0
"""A worker that can't open any encoder for this long passes its place on."""

SETTLE_S = 3.0
"""After the first worker is heard of: places wait for the workers they belong to by index."""

NEVER = float("-inf")
NOT_IN_SIGHT = float("inf")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the director needs to know of a worker.

    Attributes:
        index: of the worker.
        watched: somebody has opened its page.
        failing: it can't open any encoder.
        preparing: it has been told to go live, and is not ready to.
        live: it has a picture.
    """

    index: int
    watched: bool = False
    failing: bool = False
    preparing: bool = False
    live: bool = False

    @classmethod
    def of(cls, status: WorkerStatus) -> "Candidate":
        """Of a worker that says how it is."""
        return cls(
            status.worker_index,
            watched=status.stream_dedicated_clients > 0,
            failing=status.stream_state is StreamState.ERROR,
            preparing=status.stream_state is StreamState.STARTING,
            live=status.stream_state is StreamState.LIVE,
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker should be, and why."""

    desired: DesiredState
    reason: str


@dataclass(frozen=True, slots=True)
class RotationSchedule:
    """Who is shown, and what comes.

    Attributes:
        live: the one shown longest first.
        next: who gets the next place; None where nobody waits.
        next_in_s: seconds until then; None where every place is being watched.
    """

    live: tuple[int, ...]
    next: int | None
    next_in_s: float | None


class Director:
    """Decides who is live; remembers since when.

    Args:
        rotate_s: seconds an unwatched worker is shown while others wait.
    """

    def __init__(self, rotate_s: float) -> None:
        self._rotate_s = rotate_s
        self._live: dict[int, float] = {}
        self._left: dict[int, float] = {}
        self._seen_watched: dict[int, float] = {}
        self._watched_since: dict[int, float] = {}
        self._first_heard: float | None = None
        self._capacity = Capacity()

    def decide(
        self, candidates: Iterable[Candidate], capacity: Capacity, now: float
    ) -> dict[int, Assignment]:
        """The wish for every candidate, by index.

        Args:
            candidates: the workers that are alive and may stream.
            capacity: the encoder sessions of the fleet.
            now: seconds, never less than in the call before.
        """
        self._capacity = capacity
        present = {candidate.index: candidate for candidate in candidates}
        if present and self._first_heard is None:
            self._first_heard = now
        self._note_viewers(present, now)
        for index in [index for index in self._live if index not in present]:
            self._withdraw(index, now)
        self._shrink(now)
        self._fill(present, now)
        self._make_room_for_viewers(present, now)
        self._rotate(present, now)
        return {index: self._wish(index, present, now) for index in present}

    def outlook(self, candidates: Iterable[Candidate], now: float) -> RotationSchedule:
        """As things are; nothing is decided."""
        present = {candidate.index: candidate for candidate in candidates}
        live = tuple(sorted(self._live, key=lambda index: (self._live[index], index)))
        turns = {index: self._turn(index, present, now) for index in self._waiting(present)}
        if not turns:
            return RotationSchedule(live, None, None)
        soonest = min(turns, key=lambda index: _or_never(turns[index]))
        return RotationSchedule(live, soonest, turns[soonest])

    def _note_viewers(self, present: dict[int, Candidate], now: float) -> None:
        for index, candidate in present.items():
            if candidate.watched:
                self._seen_watched[index] = now
                self._watched_since.setdefault(index, now)
        for index in [index for index in self._watched_since if not self._watched(index, now)]:
            del self._watched_since[index]
        for index in [index for index in self._watched_since if index not in present]:
            del self._watched_since[index], self._seen_watched[index]

    def _shrink(self, now: float) -> None:
        """Takes places that are no longer to be had; a watched worker still keeps its own."""
        kept: list[int] = []
        oldest_first = sorted(self._live, key=lambda index: (self._live[index], index))
        for index in sorted(oldest_first, key=lambda index: not self._watched(index, now)):
            if self._watched(index, now) or self._capacity.has_room(kept, index):
                kept.append(index)
            else:
                self._withdraw(index, now)

    def _fill(self, present: dict[int, Candidate], now: float) -> None:
        settling = self._first_heard is not None and now - self._first_heard < SETTLE_S
        for index in self._waiting(present):
            if not self._capacity.has_room(self._live, index):
                continue
            if settling and not (self._watched(index, now) or self._capacity.comes_first(index)):
                continue
            self._live[index] = now

    def _make_room_for_viewers(self, present: dict[int, Candidate], now: float) -> None:
        asked_for = [index for index in self._waiting(present) if present[index].watched]
        for index in asked_for:
            leaving = self._oldest_unwatched(index, now, at_least=MIN_LIVE_S)
            if leaving is not None:
                self._swap(leaving, index, now)

    def _rotate(self, present: dict[int, Candidate], now: float) -> None:
        for index in self._waiting(present):
            # Who has only just made room doesn't come back at once, and so send the next one away.
            leaving, waited = None, self._waited(index, now)
            if waited >= FAILING_S:
                leaving = self._failing(index, present, now)
            if leaving is None and waited >= self._rotate_s:
                leaving = self._oldest_unwatched(index, now, at_least=self._rotate_s)
            if leaving is not None:
                self._swap(leaving, index, now)

    def _waiting(self, present: dict[int, Candidate]) -> list[int]:
        """Who has no place: the watched by when their viewers came, then by who waited longest."""

        def turn(index: int) -> tuple[bool, float, int]:
            if index in self._watched_since:
                return False, self._watched_since[index], index
            return True, self._left.get(index, NEVER), index

        return sorted((index for index in present if index not in self._live), key=turn)

    def _waited(self, index: int, now: float) -> float:
        return now - self._left.get(index, NEVER)

    def _places_for(self, coming: int) -> list[int]:
        """Who has a place that this worker could take, the one shown longest first."""
        return sorted(
            (each for each in self._live if self._capacity.may_replace(self._live, each, coming)),
            key=lambda index: (self._live[index], index),
        )

    def _oldest_unwatched(self, coming: int, now: float, *, at_least: float) -> int | None:
        for index in self._places_for(coming):
            if now - self._live[index] >= at_least and not self._watched(index, now):
                return index
        return None

    def _failing(self, coming: int, present: dict[int, Candidate], now: float) -> int | None:
        for index in self._places_for(coming):
            if (
                present[index].failing
                and now - self._live[index] >= FAILING_S
                and not self._watched(index, now)
            ):
                return index
        return None

    def _swap(self, leaving: int, coming: int, now: float) -> None:
        self._withdraw(leaving, now)
        self._live[coming] = now

    def _withdraw(self, index: int, now: float) -> None:
        del self._live[index]
        self._left[index] = now

    def _watched(self, index: int, now: float) -> bool:
        seen = self._seen_watched.get(index)
        return seen is not None and now - seen <= VIEWER_GRACE_S

    def _wish(self, index: int, present: dict[int, Candidate], now: float) -> Assignment:
        if index in self._live:
            reason = (
                "somebody watches this worker"
                if self._watched(index, now)
                else "there is an encoder session for this worker"
            )
            return Assignment(DesiredState.LIVE, reason)
        return Assignment(DesiredState.STANDBY, self._why_waiting(index, present, now))

    def _why_waiting(self, index: int, present: dict[int, Candidate], now: float) -> str:
        count, pool = self._capacity.sessions_of(index), self._capacity.pool_of(index)
        if not self._capacity.is_divided:
            pool = None
        if count == 0:
            whose = f"the {pool} pool" if pool else "this machine"
            return f"{whose} has no encoder session to give"
        kind = f"{pool} encoder" if pool and not self._capacity.cpu_fallback else "encoder"
        sessions = f"the {kind} session" if count == 1 else f"all {count} {kind} sessions"
        places = sorted(self._places_for(index))
        shown = ", ".join(f"omega-{live}" for live in places) or "workers yet to start"
        reason = f"{sessions} went to {shown}"
        turn = self._turn(index, present, now)
        if turn is None:
            them = "it" if len(places) == 1 else "each of them"
            return f"{reason}, and somebody watches {them}" if places else reason
        return f"{reason}; its turn comes in {turn:.0f} s"

    def _turn(self, index: int, present: dict[int, Candidate], now: float) -> float | None:
        """Seconds until a worker that waits gets a place; None where all are being watched."""
        leaving = [live for live in self._places_for(index) if not self._watched(live, now)]
        if not leaving:
            return None
        rivals = [
            each
            for each in self._waiting(present)
            if any(self._capacity.may_replace(self._live, live, each) for live in leaving)
        ]
        rounds, place = divmod(rivals.index(index), len(leaving))
        free_in = max(0.0, self._live[leaving[place]] + self._rotate_s - now)
        return max(free_in + rounds * self._rotate_s, self._rotate_s - self._waited(index, now))


def _or_never(turn: float | None) -> float:
    return NOT_IN_SIGHT if turn is None else turn


def candidates_of(statuses: Sequence[WorkerStatus]) -> list[Candidate]:
    """The workers that may stream: where streams are switched off, none."""
    return [Candidate.of(status) for status in statuses if status.stream_enabled]


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
        wishes: Mapping[int, Assignment],
        candidates: Iterable[Candidate],
        capacity: Capacity,
        now: float,
    ) -> dict[int, Assignment]:
        """The director's wishes, with those who pass a place on kept live until then.

        Args:
            wishes: by index.
            candidates: those the wishes are for.
            capacity: says whose sessions are alike.
            now: seconds, never less than in the call before.
        """
        present = {candidate.index: candidate for candidate in candidates}
        live = {index for index, wish in wishes.items() if wish.desired is DesiredState.LIVE}
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
            leaving: Assignment(DesiredState.LIVE, f"shown until omega-{passed.successor} is ready")
            for leaving, passed in self._passes.items()
        }
        return {**wishes, **kept}


def _ready(successor: Candidate, elapsed: float) -> bool:
    return successor.live or elapsed >= (LONGEST_S if successor.preparing else HEARD_S)
