"""Logs of a run's episodes, and which of them stay when they outgrow their budget.

The best, the worst and the newest stay, and of all others a sample from the whole run. A log has a
level: half of them have 0, a quarter 1 and so on. Those of the lowest level go first, the oldest
before the newer. The table alone decides, so a restart changes nothing, and in a time that does not
depend on its size.
"""

import json
import sqlite3
import zlib
from typing import NamedTuple

from metabonk.runs.database import has_table

SCHEMA = """
CREATE TABLE IF NOT EXISTS episode_logs (
  episode_id INTEGER PRIMARY KEY,
  worker_index INTEGER NOT NULL,
  total_reward REAL NOT NULL,
  level INTEGER NOT NULL,
  log BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_of_level ON episode_logs (level);
CREATE INDEX IF NOT EXISTS logs_of_worker ON episode_logs (worker_index);
CREATE INDEX IF NOT EXISTS best_logs ON episode_logs (total_reward DESC);
CREATE INDEX IF NOT EXISTS best_logs_of_worker ON episode_logs (worker_index, total_reward DESC);
CREATE TABLE IF NOT EXISTS episode_logs_size (
  key INTEGER PRIMARY KEY CHECK (key = 0), logs INTEGER NOT NULL, bytes INTEGER NOT NULL
);
INSERT OR IGNORE INTO episode_logs_size VALUES (0, 0, 0);
"""

ROW_BYTES = 100
"""Bytes of a log besides itself, in the table and its indexes."""

MAX_EXTREMES = 50
"""Best logs that stay, and worst ones; fewer while there are fewer than 800 in all."""

NEWEST = 4
"""One log in so many is among the newest, which stay."""

HEADROOM = 64
"""A budget that is exceeded is freed by one part in so many."""

MAX_LEVEL = 32

INSERT = "INSERT INTO episode_logs VALUES (?, ?, ?, ?, ?)"
DELETE = "DELETE FROM episode_logs WHERE episode_id = ?"
SIZE = "SELECT logs, bytes FROM episode_logs_size"
RESIZE = "UPDATE episode_logs_size SET logs = logs + ?, bytes = bytes + ?"
LOG = "SELECT log FROM episode_logs WHERE episode_id = ?"
NEWEST_ID = "SELECT MAX(episode_id) FROM episode_logs"
BEST = "SELECT episode_id FROM episode_logs ORDER BY total_reward DESC, episode_id LIMIT ?"
WORST = "SELECT episode_id FROM episode_logs ORDER BY total_reward, episode_id DESC LIMIT ?"
OLDEST_OF_LEVEL = """
SELECT episode_id, length(log) FROM episode_logs
WHERE level = ? AND episode_id < ? AND episode_id NOT IN (SELECT value FROM json_each(?))
ORDER BY episode_id LIMIT ?
"""


class Size(NamedTuple):
    """Size of the logs that are kept.

    Attributes:
        logs: number of them.
        bytes: including ``ROW_BYTES`` for each.
    """

    logs: int
    bytes: int


def size_of_logs(database: sqlite3.Connection) -> Size:
    """Return the size of the logs that are kept."""
    return Size(*database.execute(SIZE).fetchone())


def insert_log(
    database: sqlite3.Connection, episode_id: int, worker: int, total_reward: float, log: bytes
) -> None:
    """Keep the log of a new episode."""
    database.execute(INSERT, (episode_id, worker, total_reward, level_of(episode_id), log))
    database.execute(RESIZE, (1, ROW_BYTES + len(log)))


def thin_logs(database: sqlite3.Connection, max_bytes: int, at_most: int) -> None:
    """Delete logs while there are more than a budget.

    Args:
        database: in a transaction.
        max_bytes: the budget; exceeded by no more than three logs that are the only ones.
        at_most: logs to delete in this call.
    """
    logs, used = size_of_logs(database)
    if used <= max_bytes:
        return
    excess = used - max_bytes + max_bytes // HEADROOM
    (newest,) = database.execute(NEWEST_ID).fetchone()
    before = newest - logs // NEWEST
    extremes = max(1, min(MAX_EXTREMES, logs // 16))
    kept = json.dumps(
        [id_ for query in (BEST, WORST) for (id_,) in database.execute(query, (extremes,))]
    )
    deleted: list[int] = []
    freed = 0
    for level in range(MAX_LEVEL + 1):
        rows = database.execute(OLDEST_OF_LEVEL, (level, before, kept, at_most - len(deleted)))
        for id_, log_bytes in rows:
            if freed >= excess:
                break
            deleted.append(id_)
            freed += ROW_BYTES + log_bytes
    database.executemany(DELETE, ((id_,) for id_ in deleted))
    database.execute(RESIZE, (-len(deleted), -freed))


def select_log(database: sqlite3.Connection, episode_id: int) -> bytes | None:
    """Return the log of an episode; None if it is not kept, as in a run of an earlier version."""
    if not has_table(database, "episode_logs"):
        return None
    row = database.execute(LOG, (episode_id,)).fetchone()
    return row[0] if row else None


def why_not_kept(episode_id: int, run: str) -> str:
    """Return the sentence about an episode whose log is not kept."""
    return (
        f"episode {episode_id} of run {run} can't be repeated: its log is not kept. Logs of the "
        "best, worst and newest episodes and of a sample are; raise replays.keep_mb to keep more. "
        "Runs of earlier versions have none"
    )


def level_of(episode_id: int) -> int:
    """Return the level of an episode's log: 0 for half of them, 1 for a quarter and so on.

    A hash decides, since workers whose episodes take turns share parities.
    """
    key = zlib.crc32(episode_id.to_bytes(8, "little")) | 1 << MAX_LEVEL
    return (key & -key).bit_length() - 1
