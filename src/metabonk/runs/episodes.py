"""Finished episodes in SQLite, and the learning curve that comes of them.

A disk that is full or gone costs nothing but a warning: episodes wait in memory and are written
when it is back.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from metabonk.errors import StartError
from metabonk.messages import CounterOffset, CurvePoint, Episode, Problem
from metabonk.runs.curve import Curve
from metabonk.runs.layout import EPISODES_FILE

log = logging.getLogger(__name__)

WAITING_EPISODES = 100_000
"""Kept while the disk takes nothing; then the oldest go."""

RETRY_S = 5.0
BUSY_TIMEOUT_S = 2.0

# A worker that is started again counts its episodes from 1 until the orchestrator has answered it,
# so their number alone names none.
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
    """The database of one run. Any thread may use it.

    Args:
        run_dir: folder of the run.
        game: what the run plays.
        clock: monotonic seconds.

    Raises:
        StartError: the file can't be opened or isn't a database.
    """

    def __init__(
        self, run_dir: Path, game: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = run_dir / EPISODES_FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Episode] = deque(maxlen=WAITING_EPISODES)
        self._retry_at = float("-inf")
        self._failure: str | None = None
        self._lost = 0
        self._curve = Curve()
        self._curves: dict[int, Curve] = {}
        self._fleet_step = 0
        try:
            self._database = sqlite3.connect(
                self._file, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
            )
            self._open(run_dir.name, game)
        except sqlite3.Error as error:
            raise StartError(
                f"can't use the episodes of this run in {self._file}: {error}. "
                "Free some disk, or move the file away to begin a new one"
            ) from None

    def record(self, episodes: Iterable[Episode]) -> None:
        """Writes finished episodes; those that it has already are left out."""
        with self._lock:
            for episode in episodes:
                self._lost += len(self._waiting) == WAITING_EPISODES
                self._waiting.append(episode)
            if self._waiting and self._clock() >= self._retry_at:
                self._flush()

    def newest(self, limit: int, worker: int | None = None) -> list[Episode]:
        """The last episodes, of all workers or of one, newest first."""
        condition, values = ("", ()) if worker is None else ("WHERE worker_index = ?", (worker,))
        query = f"SELECT {COLUMNS} FROM episodes {condition} ORDER BY id DESC LIMIT ?"
        with self._lock:
            rows = self._database.execute(query, (*values, limit)).fetchall()
        names = COLUMNS.split(", ")
        return [Episode.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    def curve(self, points: int, worker: int | None = None) -> list[CurvePoint]:
        """The learning curve of the run, or of one worker, in at most so many points."""
        with self._lock:
            curve = self._curve if worker is None else self._curves.get(worker, Curve())
            return curve.points(points)

    def counted(self) -> dict[int, CounterOffset]:
        """By worker, what it had counted at the end of its last episode."""
        query = "SELECT worker_index, MAX(step), MAX(episode) FROM episodes GROUP BY worker_index"
        with self._lock:
            rows = self._database.execute(query).fetchall()
        return {index: CounterOffset(step=step, episode=episode) for index, step, episode in rows}

    @property
    def episodes(self) -> int:
        """How many are written."""
        return self._curve.episodes

    @property
    def fleet_step(self) -> int:
        """Policy decisions of all finished episodes."""
        return self._fleet_step

    def problems(self) -> list[Problem]:
        """Says when nothing can be written."""
        if self._failure is None:
            return []
        lost = f", {self._lost} are lost" if self._lost else ""
        return [
            Problem(
                message=f"episodes can't be written to {self._file}: {self._failure}; "
                f"{len(self._waiting)} wait in memory{lost}",
                action="free some disk; they are written then",
            )
        ]

    def close(self) -> None:
        """Writes what waits, and closes the file."""
        with self._lock:
            if self._waiting:
                self._flush()
            self._database.close()

    def _open(self, run: str, game: str) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        # A power cut may cost the last episodes, never the file (sqlite.org/pragma.html).
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(SCHEMA)
        self._database.execute(
            "INSERT OR IGNORE INTO run VALUES (?, ?, ?)", (run, game, time.time())
        )
        columns = "worker_index, fleet_step, ended_at, total_reward"
        for row in self._database.execute(f"SELECT {columns} FROM episodes ORDER BY id"):
            self._note(*row)

    def _flush(self) -> None:
        try:
            written = self._insert(self._waiting)
        except sqlite3.Error as error:
            if self._failure is None:
                log.error("episodes can't be written: %s", error)
            self._failure = str(error)
            self._retry_at = self._clock() + RETRY_S
            return
        if self._failure is not None:
            log.info("episodes can be written again")
        self._failure = None
        self._waiting.clear()
        for episode, fleet_step in written:
            self._note(episode.worker_index, fleet_step, episode.ended_at, episode.total_reward)

    def _note(self, worker: int, fleet_step: int, ended_at: float, total_reward: float) -> None:
        self._fleet_step = fleet_step
        for curve in (self._curve, self._curves.setdefault(worker, Curve())):
            curve.add(fleet_step=fleet_step, ended_at=ended_at, total_reward=total_reward)

    def _insert(self, episodes: Iterable[Episode]) -> list[tuple[Episode, int]]:
        """In one transaction; those that were new, each with the fleet's step at its end."""
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
