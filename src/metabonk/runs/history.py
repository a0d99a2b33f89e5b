"""Learning curves of a run in memory, and as they are kept beside its episodes.

A run's curves are saved in the transaction that writes their episodes, so opening a run reads the
curves alone. Episodes that an earlier version wrote are aggregated once, by ``catch_up``.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

from metabonk.messages.runs import CurvePoint
from metabonk.runs.curve import RESOLUTION, Bucket, Curve
from metabonk.runs.database import has_table, newest_id

WORKER_RESOLUTION = 512

ALL_WORKERS = -1
"""Worker index of the curve over all workers."""

RANGES = 2 * RESOLUTION - 1
"""Most ranges of episodes that catching up aggregates: the curve then keeps one bucket for each."""

RANGES_A_REPORT = 64

# "NOT INDEXED" leaves the id, by which range follows range (sqlite.org/lang_indexedby.html).
RANGE = """
SELECT worker_index, MAX(id), MAX(fleet_step), MAX(ended_at), SUM(total_reward), MAX(total_reward),
  COUNT(*)
FROM episodes NOT INDEXED WHERE id BETWEEN ? AND ? GROUP BY worker_index
"""
BUCKETS = """
SELECT worker_index, last_id, fleet_step, ended_at, total_reward, best_return, episodes
FROM curve_buckets ORDER BY worker_index, position
"""
INSERT_BUCKET = "INSERT INTO curve_buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DELETE_BUCKETS = "DELETE FROM curve_buckets WHERE worker_index = ? AND position >= ?"

WorkerBucket = tuple[int, Bucket]
"""Worker index, and episodes of that worker."""


class History:
    """Learning curves of a run and of each of its workers. Immutable.

    Args:
        curves: by worker index, the one over all workers as ``ALL_WORKERS``.
    """

    def __init__(self, curves: Mapping[int, Curve] = MappingProxyType({})) -> None:
        self.curves = curves

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return self._total.episodes

    @property
    def last_id(self) -> int:
        """Id of the last episode that the curves cover; 0 before the first."""
        return self._total.last.last_id if self._total.last else 0

    @property
    def fleet_step(self) -> int:
        """Steps of all workers in the episodes."""
        return self._total.last.fleet_step if self._total.last else 0

    @property
    def ended_at(self) -> float | None:
        """Unix time of the last episode, seconds; None before the first."""
        return self._total.last.ended_at if self._total.last else None

    @property
    def best_return(self) -> float | None:
        """Highest return of an episode; None before the first."""
        return max((bucket.best_return for bucket in self._total.buckets), default=None)

    def points(self, at_most: int, worker: int | None = None) -> list[CurvePoint]:
        """Return the curve of the run, or of one worker, in ``at_most`` points or fewer."""
        curve = self.curves.get(ALL_WORKERS if worker is None else worker)
        return curve.points(at_most) if curve else []

    def trends(self, at_most: int) -> dict[int, list[float]]:
        """Return the mean returns of each worker, by its index, ``at_most`` or fewer of each."""
        return {
            index: [point.mean_return for point in curve.points(at_most)]
            for index, curve in self.curves.items()
            if index != ALL_WORKERS
        }

    def extended(self, slices: Iterable[Sequence[WorkerBucket]]) -> "History":
        """Return the curves with later episodes appended.

        Args:
            slices: in order; each is one bucket of the curve over all workers.
        """
        later: dict[int, list[Bucket]] = defaultdict(list)
        for parts in slices:
            for worker, bucket in parts:
                later[worker].append(bucket)
            later[ALL_WORKERS].append(reduce(Bucket.joined, (bucket for _, bucket in parts)))
        curves = dict(self.curves)
        for index, buckets in later.items():
            curves[index] = curves.get(index, _new_curve(index)).extended(buckets)
        return History(curves)

    @property
    def _total(self) -> Curve:
        return self.curves.get(ALL_WORKERS) or _new_curve(ALL_WORKERS)


def load(database: sqlite3.Connection) -> History:
    """Return the curves that are saved beside a run's episodes, which may lack the newest ones."""
    if not has_table(database, "curve_buckets"):
        return History()
    rows: dict[int, list[Bucket]] = defaultdict(list)
    for worker, *values in database.execute(BUCKETS):
        rows[worker].append(Bucket(*values))
    return History({index: _new_curve(index, buckets) for index, buckets in rows.items()})


def catch_up(database: sqlite3.Connection, history: History) -> Iterator[History]:
    """Aggregate the episodes that a history lacks; yield it as it grows, complete at the end.

    Reads each episode once, mostly without Python's lock (docs/benchmarks.md).
    """
    newest = newest_id(database)
    if newest < history.last_id:  # Another file of this name.
        history = History()
    first, behind = history.last_id + 1, newest - history.last_id
    size = max(1, -(-behind // RANGES))
    slices: list[list[WorkerBucket]] = []
    for start in range(first, newest + 1, size):
        rows = database.execute(RANGE, (start, start + size - 1))
        if parts := [(worker, Bucket(*values)) for worker, *values in rows]:
            slices.append(parts)
        if len(slices) == RANGES_A_REPORT:
            history = history.extended(slices)
            slices = []
            yield history
    yield history.extended(slices)


def save_changes(database: sqlite3.Connection, earlier: History, history: History) -> None:
    """Write what ``history`` adds to the saved ``earlier``, which it directly extends."""
    for index, curve in history.curves.items():
        if curve is not earlier.curves.get(index):
            _save(database, index, curve, curve.unchanged)


def save(database: sqlite3.Connection, history: History) -> None:
    """Write a whole history."""
    database.execute("DELETE FROM curve_buckets")
    for index, curve in history.curves.items():
        _save(database, index, curve, 0)


def _save(database: sqlite3.Connection, index: int, curve: Curve, position: int) -> None:
    database.execute(DELETE_BUCKETS, (index, position))
    rows = enumerate(curve.buckets[position:], position)
    database.executemany(INSERT_BUCKET, ((index, place, *bucket) for place, bucket in rows))


def _new_curve(index: int, buckets: Iterable[Bucket] = ()) -> Curve:
    return Curve(RESOLUTION if index == ALL_WORKERS else WORKER_RESOLUTION, buckets)
