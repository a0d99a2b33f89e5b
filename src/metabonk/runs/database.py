"""The episodes of a run in SQLite: schema, and queries that cost the same for any number of them.

WAL mode lets the current run's be read while it is written, each question over its own connection.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from metabonk.messages.runs import Episode
from metabonk.messages.workers import Counters
from metabonk.runs.layout import EPISODES_FILE

Order = Literal["newest", "best", "worst"]

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
CREATE TABLE IF NOT EXISTS curve_buckets (
  worker_index INTEGER NOT NULL,
  position INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  fleet_step INTEGER NOT NULL,
  ended_at REAL NOT NULL,
  total_reward REAL NOT NULL,
  best_return REAL NOT NULL,
  episodes INTEGER NOT NULL,
  PRIMARY KEY (worker_index, position)
) WITHOUT ROWID;
"""

# Each entry ends with the id, by which SQLite returns the rows of one value in order.
INDEXES = {
    "episodes_of_worker": "episodes (worker_index)",
    "best_episodes": "episodes (total_reward DESC)",
    "best_episodes_of_worker": "episodes (worker_index, total_reward DESC)",
}
"""Indexes of the run's lists by name; one of an earlier version lacks them."""

COLUMNS = "worker_index, episode, total_reward, length, step, policy_version, ended_at"
NAMES = (*COLUMNS.split(", "), "id", "replayable")

IS_KEPT = "EXISTS (SELECT 1 FROM episode_logs WHERE episode_id = id)"
LOG_STEPS = "SELECT id, fleet_step FROM episode_logs JOIN episodes ON id = episode_id"
LOG_FROM = f"{LOG_STEPS} WHERE episode_id >= ? ORDER BY episode_id LIMIT 1"
LOG_OF_WORKER = "episode_logs.worker_index = ?"
"""Answered from the index of its logs."""

# One seek in the key's index for each worker, where DISTINCT reads all of it
# (sqlite.org/lang_with.html).
WORKERS = """
WITH RECURSIVE workers (worker) AS (
  SELECT MIN(worker_index) FROM episodes
  UNION ALL
  SELECT (SELECT MIN(worker_index) FROM episodes WHERE worker_index > worker)
  FROM workers WHERE worker IS NOT NULL
)
SELECT worker FROM workers WHERE worker IS NOT NULL
"""
LAST_OF_WORKER = """
SELECT step, episode FROM episodes WHERE worker_index = ?
ORDER BY episode DESC, ended_at DESC LIMIT 1
"""


@contextlib.contextmanager
def open_read_only(run_dir: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the database of a run for one question.

    Raises:
        sqlite3.Error: there is none, or it can't be read.
    """
    address = (run_dir / EPISODES_FILE).absolute().as_uri()
    with contextlib.closing(sqlite3.connect(f"{address}?mode=ro", uri=True)) as database:
        yield database


def newest_id(database: sqlite3.Connection) -> int:
    """Return the id of the newest episode, which is also about their number; 0 without any."""
    return int(database.execute("SELECT MAX(id) FROM episodes").fetchone()[0] or 0)


def has_table(database: sqlite3.Connection, name: str) -> bool:
    """Tell whether there is a table or an index of this name."""
    query = "SELECT COUNT(*) FROM sqlite_master WHERE name = ?"
    return bool(database.execute(query, (name,)).fetchone()[0])


def missing_indexes(database: sqlite3.Connection) -> list[str]:
    """Return the names of the indexes that the database lacks."""
    return [name for name in INDEXES if not has_table(database, name)]


def create_index(database: sqlite3.Connection, name: str) -> None:
    """Create one of ``INDEXES``: some seconds for ten million episodes."""
    database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {INDEXES[name]}")


def select_episodes(
    database: sqlite3.Connection,
    limit: int,
    *,
    order: Order,
    worker: int | None,
    replayable: bool = False,
) -> list[Episode]:
    """Return some episodes of a run, or of one worker; all, or those whose logs are kept."""
    where = "" if worker is None else "WHERE worker_index = :worker"
    values = {"limit": limit, "worker": worker}
    by = _order_by(order, "id")
    if not replayable:
        return _select(database, f"FROM episodes {where} {by} LIMIT :limit", values)
    if not has_table(database, "episode_logs"):
        return []
    logs_by = _order_by(order, "episode_id")
    ids = f"SELECT episode_id FROM episode_logs {where} {logs_by} LIMIT :limit"
    return _select(database, f"FROM episodes WHERE id IN ({ids}) {by}", values)


def select_episode(database: sqlite3.Connection, id_: int) -> Episode | None:
    """Return an episode of a run; None if there is none of this id."""
    return next(iter(_select(database, "FROM episodes WHERE id = :id", {"id": id_})), None)


def select_nearest(
    database: sqlite3.Connection, fleet_step: int, worker: int | None = None
) -> Episode | None:
    """Return the replayable episode, of one worker or any, that ended nearest to a fleet step.

    Returns:
        None if none can be replayed.
    """
    if not has_table(database, "episode_logs"):
        return None

    # Steps grow with ids, so the first log from there on is found by halving a range of ids.
    low, high = 0, newest_id(database) + 1
    while low < high:
        middle = (low + high) // 2
        found = database.execute(LOG_FROM, (middle,)).fetchone()
        if found is not None and found[1] < fleet_step:
            low = found[0] + 1
        else:
            high = middle
    where, values = ("", ()) if worker is None else (f"AND {LOG_OF_WORKER}", (worker,))
    sides = ("episode_id < ?", "DESC"), ("episode_id >= ?", "ASC")
    beside = [
        log
        for side, direction in sides
        for log in database.execute(
            f"{LOG_STEPS} WHERE {side} {where} ORDER BY episode_id {direction} LIMIT 1",
            (low, *values),
        )
    ]
    if not beside:
        return None
    id_, _ = min(beside, key=lambda log: abs(log[1] - fleet_step))
    return select_episode(database, id_)


def select_counters(database: sqlite3.Connection) -> dict[int, Counters]:
    """Return each worker's counters at the end of its last episode, by worker index."""
    workers = [worker for (worker,) in database.execute(WORKERS)]
    return {
        worker: Counters(*database.execute(LAST_OF_WORKER, (worker,)).fetchone())
        for worker in workers
    }


def _order_by(order: Order, id_: str) -> str:
    """Return the clause; but for the newest, an index's order, forwards or backwards."""
    match order:
        case "newest":
            return f"ORDER BY {id_} DESC"
        case "best":
            return f"ORDER BY total_reward DESC, {id_}"
        case "worst":
            return f"ORDER BY total_reward, {id_} DESC"


def _select(database: sqlite3.Connection, query: str, values: dict[str, Any]) -> list[Episode]:
    is_kept = IS_KEPT if has_table(database, "episode_logs") else "0"
    rows = database.execute(f"SELECT {COLUMNS}, id, {is_kept} {query}", values)
    return [Episode.model_validate(dict(zip(NAMES, row, strict=True))) for row in rows]
