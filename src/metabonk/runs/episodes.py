"""Finished episodes of one run in SQLite, and its learning curves in memory.

A full or missing disk costs a warning only: episodes wait in memory until it is back.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from metabonk.errors import StartError
from metabonk.messages import Counters, CurvePoint, Episode, Problem
from metabonk.runs.curve import Curve
from metabonk.runs.layout import EPISODES_FILE

log = logging.getLogger(__name__)

Order = Literal["newest", "best"]

MAX_WAITING = 100_000
"""Episodes kept while the disk takes none; beyond it the oldest are dropped."""

RETRY_S = 5.0
BUSY_TIMEOUT_S = 2.0

# A run that started before 0.2.0 may hold the same episode number of a worker twice: its counter
# began at zero again after a restart. Hence the end is part of the key.
SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
  name TEXT PRIMARY KEY, game TEXT NOT NULL, started_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS episodes (
  id INTEGER PRIMARY KEY,
  worker_index INTEGER NOT NULL,
  episode INTEGER NOT NULL,
  total_reward REAL NOT NULL,
  length INTEGER NOT NULL,
  step INTEGER NOT NULL,
  policy_version INTEGER NOT NULL,
  ended_at REAL NOT NULL,
  fleet_step INTEGER NOT NULL,
  UNIQUE (worker_index, episode, ended_at)
);
"""
COLUMNS = "worker_index, episode, total_reward, length, step, policy_version, ended_at"


class EpisodeStore:
    """The database of the current run; its only writer. Thread-safe.

    Args:
        run_dir: folder of the run.
        game: id of the run's game.
        clock: monotonic seconds.

    Raises:
        StartError: the file can't be opened or isn't a database.
    """

    def __init__(
        self, run_dir: Path, game: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run_dir = run_dir
        self._file = run_dir / EPISODES_FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Episode] = deque(maxlen=MAX_WAITING)
        self._retry_at = float("-inf")
        self._failure: str | None = None
        self._lost = 0
        self._curve = Curve()
        self._worker_curves: dict[int, Curve] = {}
        self._fleet_step = 0
        try:
            self._database = sqlite3.connect(
                self._file, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
            )
            self._open(game)
        except sqlite3.Error as error:
            raise StartError(
                f"can't use the run's episodes in {self._file}: {error}. "
                "Free some disk, or move the file away to begin a new one"
            ) from None

    @property
    def run(self) -> str:
        """Name of the run."""
        return self.run_dir.name

    @property
    def episodes(self) -> int:
        """Number of episodes written."""
        return self._curve.episodes

    @property
    def fleet_step(self) -> int:
        """Steps of all workers in the episodes written."""
        return self._fleet_step

    def record(self, episodes: Iterable[Episode]) -> None:
        """Write finished episodes, skipping those already written."""
        with self._lock:
            for episode in episodes:
                self._lost += len(self._waiting) == MAX_WAITING
                self._waiting.append(episode)
            if self._waiting and self._clock() >= self._retry_at:
                self._flush()

    def curve(self, points: int, worker: int | None = None) -> list[CurvePoint]:
        """Return the learning curve of the run, or of one worker, in at most ``points`` points."""
        with self._lock:
            curve = self._curve if worker is None else self._worker_curves.get(worker, Curve())
            return curve.points(points)

    def counters(self) -> dict[int, Counters]:
        """Return each worker's counters at the end of its last episode, by worker index."""
        query = "SELECT worker_index, MAX(step), MAX(episode) FROM episodes GROUP BY worker_index"
        with self._lock:
            rows = self._database.execute(query).fetchall()
        return {index: Counters(step, episode) for index, step, episode in rows}

    def problems(self) -> list[Problem]:
        """Report episodes that can't be written."""
        if self._failure is None:
            return []
        lost = f", {self._lost} are lost" if self._lost else ""
        return [
            Problem(
                message=f"can't write episodes to {self._file}: {self._failure}; "
                f"{len(self._waiting)} wait in memory{lost}",
                action="free some disk space; the episodes are then written automatically",
            )
        ]

    def close(self) -> None:
        """Write what waits, and close the file."""
        with self._lock:
            if self._waiting:
                self._flush()
            self._database.close()

    def _open(self, game: str) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        # A power cut may cost the last episodes, never the file (sqlite.org/pragma.html).
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(SCHEMA)
        self._database.execute(
            "INSERT OR IGNORE INTO run VALUES (?, ?, ?)", (self.run, game, time.time())
        )
        columns = "worker_index, fleet_step, ended_at, total_reward"
        for row in self._database.execute(f"SELECT {columns} FROM episodes ORDER BY id"):
            self._add_to_curves(*row)

    def _flush(self) -> None:
        try:
            written = self._insert(self._waiting)
        except sqlite3.Error as error:
            if self._failure is None:
                log.error("can't write episodes: %s", error)
            self._failure = str(error)
            self._retry_at = self._clock() + RETRY_S
            return
        if self._failure is not None:
            log.info("episodes are written again")
        self._failure = None
        self._waiting.clear()
        for episode, fleet_step in written:
            self._add_to_curves(
                episode.worker_index, fleet_step, episode.ended_at, episode.total_reward
            )

    def _add_to_curves(
        self, worker: int, fleet_step: int, ended_at: float, total_reward: float
    ) -> None:
        self._fleet_step = fleet_step
        for curve in (self._curve, self._worker_curves.setdefault(worker, Curve())):
            curve.add(fleet_step=fleet_step, ended_at=ended_at, total_reward=total_reward)

    def _insert(self, episodes: Iterable[Episode]) -> list[tuple[Episode, int]]:
        """Insert in one transaction; return the new ones, each with the fleet's step at its end."""
        marks = ", ".join("?" * 8)
        insert = f"INSERT OR IGNORE INTO episodes ({COLUMNS}, fleet_step) VALUES ({marks})"
        written, fleet_step = [], self._fleet_step
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for episode in episodes:
                values = (*episode.model_dump().values(), fleet_step + episode.length)
                if self._database.execute(insert, values).rowcount:
                    fleet_step += episode.length
                    written.append((episode, fleet_step))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            # SQLite rolls back by itself on a full disk, but not on every error.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return written


def select_episodes(
    database: sqlite3.Connection, limit: int, *, order: Order, worker: int | None
) -> list[Episode]:
    """Return some episodes of a run, or of one worker."""
    by = "ORDER BY id DESC" if order == "newest" else "ORDER BY total_reward DESC, id"
    where, values = _where(worker)
    query = f"SELECT {COLUMNS} FROM episodes {where} {by} LIMIT ?"
    names = COLUMNS.split(", ")
    rows = database.execute(query, (*values, limit))
    return [Episode.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def select_curve(database: sqlite3.Connection, worker: int | None) -> Curve:
    """Return the learning curve of a run, or of one worker, read from the whole table."""
    curve = Curve()
    where, values = _where(worker)
    query = f"SELECT fleet_step, ended_at, total_reward FROM episodes {where} ORDER BY id"
    for fleet_step, ended_at, total_reward in database.execute(query, values):
        curve.add(fleet_step=fleet_step, ended_at=ended_at, total_reward=total_reward)
    return curve


def _where(worker: int | None) -> tuple[str, tuple[Any, ...]]:
    return ("", ()) if worker is None else ("WHERE worker_index = ?", (worker,))
