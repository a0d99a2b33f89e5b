"""Assignment of workers to live or standby where encoder sessions are scarce. Pure.

The rules, strongest first:

1. A worker with a viewer keeps its place, whatever else is asked for.
2. A worker that a viewer opens gets the next place: a free one, else that of the unwatched worker
   which has been live longest.
3. Free places rotate, the worker that has waited longest first; at the start, by index.
4. An unwatched worker makes room after ``rotate_s``, if another one has never been live or has
   waited as long.

Against flapping, a place is kept for ``MIN_LIVE_S`` once given, and a viewer counts for
``VIEWER_GRACE_S`` after leaving, so that reloading the page costs nothing. If the stream broke off,
because its worker died or its encoder did, its viewers count for ``CLAIM_S``: players come back by
themselves, but only after pauses that grow.

A worker uses the sessions of its own GPU, so places differ: it gets and waits for only those that
it could use. The director only assigns; sessions are guarded by their leases, so an assignment that
arrives before the previous holder has let go opens nothing too early.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metabonk.encoding.capacity import Capacity
from metabonk.messages.workers import DesiredState, StreamState, WorkerStatus, instance_id

MIN_LIVE_S = 5.0
VIEWER_GRACE_S = 5.0
CLAIM_S = 30.0
"""A killed worker is back within ten seconds, and go2rtc asks again every ten at most by then."""

FAILING_S = 15.0
"""A worker that can't open any encoder for this long passes its place on."""

SETTLE_S = 3.0
"""After the first worker reports, places are held for the workers they belong to by index."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as the director sees it.

    Attributes:
        index: of the worker, or its seat on a node.
        watched: a viewer has its page open.
        failing: it can't open any encoder.
        preparing: it was told to go live and is not ready yet.
        live: it is live.
        name: None: that of the fleet's worker with this index.
    """

    index: int
    watched: bool = False
    failing: bool = False
    preparing: bool = False
    live: bool = False
    name: str | None = None

    @property
    def shown_name(self) -> str:
        """Name for people."""
        return self.name or instance_id(self.index)

    @classmethod
    def of(cls, status: WorkerStatus, seat: int | None = None) -> "Candidate":
        """Return the candidate for a worker's status; ``seat`` differs from its index on nodes."""
        return cls(
            status.worker_index if seat is None else seat,
            watched=status.stream_dedicated_clients > 0,
            failing=status.stream_state is StreamState.ERROR,
            preparing=status.stream_state is StreamState.STARTING,
            live=status.stream_state is StreamState.LIVE,
            name=status.instance_id,
        )


def candidates_of(statuses: Sequence[WorkerStatus], seats: Mapping[str, int]) -> list[Candidate]:
    """Return the workers that may stream; with streaming switched off there are none.

    Args:
        statuses: of workers, wherever they are.
        seats: of this machine's, by name.
    """
    return [
        Candidate.of(status, seats[status.instance_id])
        for status in statuses
        if status.stream_enabled and status.instance_id in seats
    ]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Desired state of a worker, with the reason."""

    desired: DesiredState
    reason: str


@dataclass(frozen=True, slots=True)
class RotationSchedule:
    """Workers that are live, and the one that follows.

    Attributes:
        live: the one that has been live longest first.
        next: worker that gets the next place; None if none waits.
        next_in_s: seconds until then; None while every place has viewers.
    """

    live: tuple[int, ...]
    next: int | None
    next_in_s: float | None


class Director:
    """Assigns the places; remembers since when each worker has been live or has waited.

    Args:
        rotate_s: seconds an unwatched worker is live while others wait.
    """

    def __init__(self, rotate_s: float) -> None:
        self._rotate_s = rotate_s
        self._live_since: dict[int, float] = {}
        self._left_at: dict[int, float] = {}
        self._last_watched: dict[int, float] = {}
        self._watched_since: dict[int, float] = {}
        self._seen: set[int] = set()
        """Workers whose stream somebody sees."""
        self._claims: dict[int, float] = {}
        """Until when those count as viewers whose stream broke off."""
        self._first_seen: float | None = None
        self._capacity = Capacity()

    def decide(
        self, candidates: Iterable[Candidate], capacity: Capacity, now: float
    ) -> dict[int, Assignment]:
        """Return an assignment for every candidate, by index.

        Args:
            candidates: workers that are alive and may stream.
            capacity: encoder sessions of the fleet.
            now: seconds, never less than in the previous call.
        """
        self._capacity = capacity
        present = {candidate.index: candidate for candidate in candidates}
        if present and self._first_seen is None:
            self._first_seen = now
        self._note_viewers(present, now)
        for index in [index for index in self._live_since if index not in present]:
            self._withdraw(index, now)
        self._shrink(now)
        self._fill(present, now)
        self._make_room_for_viewers(present, now)
        self._rotate(present, now)
        turns = self._turns(present, now)
        return {index: self._assignment(index, present, turns, now) for index in present}

    def schedule(self, candidates: Iterable[Candidate], now: float) -> RotationSchedule:
        """Return the current schedule; changes nothing."""
        present = {candidate.index: candidate for candidate in candidates}
        live = tuple(self._longest_live(self._live_since))
        turns = self._turns(present, now)
        if not turns:
            return RotationSchedule(live, None, None)
        soonest = min(turns, key=lambda index: (turns[index] is None, turns[index] or 0.0))
        return RotationSchedule(live, soonest, turns[soonest])

    def forget(self, index: int) -> None:
        """Forget a worker that is gone for good: another one may get its index."""
        self._seen.discard(index)
        for known in (
            self._live_since,
            self._left_at,
            self._last_watched,
            self._watched_since,
            self._claims,
        ):
            known.pop(index, None)

    def _note_viewers(self, present: Mapping[int, Candidate], now: float) -> None:
        for index, candidate in present.items():
            if candidate.watched:
                self._last_watched[index] = now
                self._watched_since.setdefault(index, now)
        self._note_breaks(present, now)
        gone = [
            index
            for index in self._watched_since
            if not self._is_watched(index, now)
            or (index not in present and index not in self._claims)
        ]
        for index in gone:
            del self._watched_since[index], self._last_watched[index]

    def _note_breaks(self, present: Mapping[int, Candidate], now: float) -> None:
        """Give a claim to the viewers of a stream that has broken off."""
        live = {index for index, candidate in present.items() if candidate.live}
        for index in self._seen - live:
            if self._is_watched(index, now):
                self._claims[index] = now + CLAIM_S
        self._seen = {index for index in self._seen & live if self._is_watched(index, now)}
        self._seen |= {index for index in live if present[index].watched}
        self._claims = {
            index: until
            for index, until in self._claims.items()
            if now <= until and index not in self._seen
        }

    def _shrink(self, now: float) -> None:
        """Withdraw places that the capacity no longer covers, unwatched and newest ones first."""
        kept: list[int] = []
        oldest_first = self._longest_live(self._live_since)
        for index in sorted(oldest_first, key=lambda index: not self._is_watched(index, now)):
            if self._is_watched(index, now) or self._capacity.has_room(kept, index):
                kept.append(index)
            else:
                self._withdraw(index, now)

    def _fill(self, present: Mapping[int, Candidate], now: float) -> None:
        settling = self._first_seen is not None and now - self._first_seen < SETTLE_S
        full: set[str | None] = set()
        for index in self._waiting(present):
            if (pool := self._capacity.pool_of(index)) in full:
                continue
            if not self._capacity.has_room(self._live_since, index):
                full.add(pool)
                continue
            if settling and not (self._is_watched(index, now) or self._capacity.comes_first(index)):
                continue
            self._live_since[index] = now

    def _make_room_for_viewers(self, present: Mapping[int, Candidate], now: float) -> None:
        opened = [
            index
            for index in self._waiting(present)
            if present[index].watched or index in self._claims
        ]
        for index in opened:
            leaving = self._oldest_unwatched(index, now, min_live_s=MIN_LIVE_S)
            if leaving is not None:
                self._swap(leaving, index, now)

    def _rotate(self, present: Mapping[int, Candidate], now: float) -> None:
        for index in self._waiting(present):
            if now - min(self._live_since.values(), default=now) < min(FAILING_S, self._rotate_s):
                break  # All have just come.
            # A worker that has just made room must not return at once and displace the next one.
            leaving, waited_s = None, self._waited_s(index, now)
            if waited_s >= FAILING_S:
                leaving = self._oldest_failing(index, present, now)
            if leaving is None and waited_s >= self._rotate_s:
                leaving = self._oldest_unwatched(index, now, min_live_s=self._rotate_s)
            if leaving is not None:
                self._swap(leaving, index, now)

    def _waiting(self, present: Mapping[int, Candidate]) -> list[int]:
        """Return workers without a place: watched ones by arrival of the viewer, then by wait."""

        def priority(index: int) -> tuple[bool, float, int]:
            if index in self._watched_since:
                return False, self._watched_since[index], index
            return True, self._left_at.get(index, -math.inf), index

        return sorted((index for index in present if index not in self._live_since), key=priority)

    def _waited_s(self, index: int, now: float) -> float:
        return now - self._left_at.get(index, -math.inf)

    def _longest_live(self, indices: Iterable[int]) -> list[int]:
        return sorted(indices, key=lambda index: (self._live_since[index], index))

    def _places_for(self, coming: int) -> list[int]:
        """Return the workers whose place this one could take, longest live first."""
        live = self._live_since
        return self._longest_live(
            index for index in live if self._capacity.may_replace(live, index, coming)
        )

    def _oldest_unwatched(self, coming: int, now: float, *, min_live_s: float) -> int | None:
        for index in self._places_for(coming):
            if now - self._live_since[index] >= min_live_s and not self._is_watched(index, now):
                return index
        return None

    def _oldest_failing(
        self, coming: int, present: Mapping[int, Candidate], now: float
    ) -> int | None:
        for index in self._places_for(coming):
            if (
                present[index].failing
                and now - self._live_since[index] >= FAILING_S
                and not self._is_watched(index, now)
            ):
                return index
        return None

    def _swap(self, leaving: int, coming: int, now: float) -> None:
        self._withdraw(leaving, now)
        self._live_since[coming] = now

    def _withdraw(self, index: int, now: float) -> None:
        del self._live_since[index]
        self._left_at[index] = now

    def _is_watched(self, index: int, now: float) -> bool:
        at = self._last_watched.get(index)
        return index in self._claims or (at is not None and now - at <= VIEWER_GRACE_S)

    def _assignment(
        self,
        index: int,
        present: Mapping[int, Candidate],
        turns: Mapping[int, float | None],
        now: float,
    ) -> Assignment:
        if index in self._live_since:
            reason = (
                "a viewer has this worker open"
                if self._is_watched(index, now)
                else "an encoder session is available for this worker"
            )
            return Assignment(DesiredState.LIVE, reason)
        reason = self._standby_reason(index, present, turns[index])
        return Assignment(DesiredState.STANDBY, reason)

    def _standby_reason(
        self, index: int, present: Mapping[int, Candidate], turn_in_s: float | None
    ) -> str:
        count, pool = self._capacity.sessions_of(index), self._capacity.pool_of(index)
        if not self._capacity.is_divided:
            pool = None
        if count == 0:
            return f"no encoder session is available {f'in pool {pool}' if pool else 'here'}"
        kind = f"{pool} encoder" if pool and not self._capacity.cpu_fallback else "encoder"
        match count:
            case 1:
                sessions = f"the {kind} session is"
            case 2:
                sessions = f"both {kind} sessions are"
            case _:
                sessions = f"all {count} {kind} sessions are"
        places = sorted(self._places_for(index))
        if not places:
            return f"{sessions} reserved for workers that are still starting"
        reason = f"{sessions} in use ({', '.join(present[place].shown_name for place in places)})"
        if turn_in_s is None:
            return f"{reason} and watched; the next turn comes when a viewer leaves"
        return f"{reason}; next turn in {turn_in_s:.0f} s"

    def _turns(self, present: Mapping[int, Candidate], now: float) -> dict[int, float | None]:
        """Return the seconds until each waiting worker gets a place; None if all have viewers.

        Workers of one pool stand in one line, so that there may be many of them.
        """
        waiting = self._waiting(present)
        lines: dict[str | None, list[int]] = {}
        for index in waiting:
            lines.setdefault(self._capacity.pool_of(index), []).append(index)
        turns: dict[int, float | None] = {}
        live_since, may_replace = self._live_since, self._capacity.may_replace
        for line in lines.values():
            places = [each for each in self._places_for(line[0]) if not self._is_watched(each, now)]
            rivals = {
                pool
                for pool, (first, *_) in lines.items()
                if any(may_replace(live_since, live, first) for live in places)
            }
            order = (each for each in waiting if self._capacity.pool_of(each) in rivals)
            numbers = {each: number for number, each in enumerate(order)}
            for index in line:
                turns[index] = (
                    self._turn_in_s(index, numbers[index], places, now) if places else None
                )
        return turns

    def _turn_in_s(self, index: int, number: int, leaving: Sequence[int], now: float) -> float:
        """Return the seconds until the worker that so many precede gets one of these places."""
        rounds, place = divmod(number, len(leaving))
        free_in_s = max(0.0, self._live_since[leaving[place]] + self._rotate_s - now)
        waited_s = self._waited_s(index, now)
        return max(free_in_s + rounds * self._rotate_s, self._rotate_s - waited_s)
