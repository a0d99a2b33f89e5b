"""Runs as an earlier version left them: without indexes and saved curves."""

import contextlib
import sqlite3
from pathlib import Path

from metabonk.runs.layout import EPISODES_FILE

SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
  name TEXT PRIMARY KEY, game TEXT NOT NULL, started_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS episodes (
  id INTEGER PRIMARY KEY, worker_index INTEGER NOT NULL, episode INTEGER NOT NULL,
  total_reward REAL NOT NULL, length INTEGER NOT NULL, step INTEGER NOT NULL,
  policy_version INTEGER NOT NULL, ended_at REAL NOT NULL, fleet_step INTEGER NOT NULL,
  UNIQUE (worker_index, episode, ended_at)
);
INSERT OR IGNORE INTO run VALUES ('earlier', 'doom:basic', 1600000000.0);
"""
FILL = """
WITH RECURSIVE numbers (n) AS (
  SELECT :written UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :written + :rows
)
INSERT INTO episodes SELECT n + 1, n % :workers, n / :workers + 1,
  (abs(random()) % 100000) / 1000.0, 10, 10 * (n / :workers + 1), n / 100,
  1600000000.0 + n * 0.03, 10 * (n + 1) FROM numbers
"""


def write_episodes(run_dir: Path, rows: int, *, workers: int = 8) -> None:
    """Append episodes of 10 steps to a run, a worker's after the other's."""
    with contextlib.closing(sqlite3.connect(run_dir / EPISODES_FILE)) as database:
        database.executescript(SCHEMA)
        database.execute("PRAGMA synchronous=OFF")
        (written,) = database.execute("SELECT COUNT(*) FROM episodes").fetchone()
        database.execute(FILL, {"rows": rows, "workers": workers, "written": written})
        database.commit()
