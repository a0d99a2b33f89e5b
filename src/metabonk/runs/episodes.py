"""Finished episodes of one run in SQLite, and its learning curves in memory.

A full or missing disk costs a warning only: episodes wait in memory until it is back.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from metabonk.errors import StartError
from metabonk.messages.base import Problem
from metabonk.messages.runs import CurvePoint
from metabonk.messages.workers import Counters, EpisodeReport
from metabonk.runs.curve import Bucket
from metabonk.runs.database import (
    COLUMNS,
    SCHEMA,
    create_index,
    missing_indexes,
    newest_id,
    open_read_only,
    select_counters,
)
from metabonk.runs.episode_logs import SCHEMA as LOGS_SCHEMA
from metabonk.runs.episode_logs import insert_log, thin_logs
from metabonk.runs.episode_queue import EpisodeQueue
from metabonk.runs.history import History, WorkerBucket, catch_up, load, save, save_changes
from metabonk.runs.layout import EPISODES_FILE

log = logging.getLogger(__name__)

MAX_WAITING = 100_000
"""Episodes kept while the disk takes none; beyond it the oldest are dropped."""

MAX_WAITING_LOG_BYTES = 64 << 20
"""Logs kept while the disk takes none; beyond it, episodes wait without theirs."""

DELETED_AT_ONCE = 1_000
"""Logs that one write may delete, about 10 ms; or twice as many as it inserts."""

RETRY_S = 5.0
BUSY_TIMEOUT_S = 2.0

HANGS_AFTER_S = 5.0
"""A write that takes longer is reported; one of a healthy disk takes a millisecond."""

QUICK_ROWS = 50_000
"""Episodes of an earlier version that are upgraded before the start: about 0.2 s."""

INTERRUPT_S = 0.05
"""An upgrade is interrupted again after this time, until it ends."""

MAX_WAL_BYTES = 16 << 20
"""Size to which the WAL is cut after an upgrade."""

INSERT = f"INSERT OR IGNORE INTO episodes ({COLUMNS}, fleet_step) VALUES ({', '.join('?' * 8)})"
NEWEST_FLEET_STEP = "SELECT fleet_step FROM episodes ORDER BY id DESC LIMIT 1"


class EpisodeStore:
    """The database of the current run; its only writer. Thread-safe.

    Nobody waits for the disk but the one thread that writes: others leave their episodes to it, or
    to the next. Readers of the curves take no lock.

    Args:
        run_dir: folder of the run.
        game: id of the run's game.
        clock: monotonic seconds.
        max_log_bytes: of the episodes' logs; 0: none is kept.

    Raises:
        StartError: the file can't be opened or isn't a database.
    """

    def __init__(
        self,
        run_dir: Path,
        game: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_log_bytes: int = 0,
    ) -> None:
        self.run_dir = run_dir
        self._file = run_dir / EPISODES_FILE
        self._clock = clock
        self._max_log_bytes = max_log_bytes
        self._writing = threading.Lock()
        self._waiting = EpisodeQueue(MAX_WAITING, MAX_WAITING_LOG_BYTES)
        self._retry_at = float("-inf")
        self._failure: str | None = None
        self._flush_began: float | None = None
        self._history = History()
        self._complete = False
        self._upgrading = False
        self._closing = False
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
    def history(self) -> History:
        """Curves of the episodes written."""
        return self._history

    @property
    def episodes(self) -> int:
        """Number of episodes written."""
        return self._history.episodes

    @property
    def fleet_step(self) -> int:
        """Steps of all workers in the episodes written."""
        return self._history.fleet_step

    def record(self, episodes: Iterable[EpisodeReport]) -> None:
        """Write finished episodes, skipping those already written."""
        self._waiting.extend(episodes)
        if not self._waiting or self._clock() < self._retry_at:
            return
        if self._writing.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._writing.release()

    def curve(self, points: int, worker: int | None = None) -> list[CurvePoint]:
        """Return the learning curve of the run, or of one worker, in at most ``points`` points."""
        return self._history.points(points, worker)

    def counters(self) -> dict[int, Counters]:
        """Return each worker's counters at the end of its last episode, by worker index."""
        with open_read_only(self.run_dir) as database:
            return select_counters(database)

    def problems(self) -> list[Problem]:
        """Report episodes that can't be written."""
        failure = self._failure
        began, now = self._flush_began, self._clock()
        if began is not None and now - began > HANGS_AFTER_S:
            failure = f"the disk has not answered for {now - began:.0f} s"
        if failure is None:
            return []
        lost = f", {self._waiting.lost} are lost" if self._waiting.lost else ""
        return [
            Problem(
                message=f"can't write episodes to {self._file}: {failure}; "
                f"{len(self._waiting)} wait in memory{lost}",
                action="free some disk space or mend the disk; the episodes are then written",
            )
        ]

    def close(self) -> None:
        """Write what waits, and close the file; an unfinished upgrade is left to the next start."""
        self._closing = True
        while not self._writing.acquire(timeout=INTERRUPT_S):
            if self._upgrading:
                self._database.interrupt()
        try:
            if self._waiting:
                self._flush()
            self._database.close()
        finally:
            self._writing.release()

    def _open(self, game: str) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        # A power cut may cost the last episodes, never the file (sqlite.org/pragma.html).
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(f"PRAGMA journal_size_limit={MAX_WAL_BYTES}")
        self._database.executescript(SCHEMA + LOGS_SCHEMA)
        self._database.execute(
            "INSERT OR IGNORE INTO run (name, game, started_at) VALUES (?, ?, ?)",
            (self.run, game, time.time()),
        )
        self._history = load(self._database)
        newest, missing = newest_id(self._database), missing_indexes(self._database)
        behind = newest - (0 if missing else self._history.last_id)
        if behind <= QUICK_ROWS:
            self._catch_up(missing)
            return
        log.info("indexing %d episodes of an earlier version; curves are complete then", behind)
        self._upgrading = True
        thread = threading.Thread(target=self._upgrade, args=(missing,), daemon=True)
        thread.name = "episodes-upgrade"
        thread.start()

    def _upgrade(self, missing: Sequence[str]) -> None:
        """Catch up beside the running fleet; new episodes wait meanwhile."""
        with self._writing:
            try:
                self._catch_up(missing)
            except sqlite3.Error as error:
                if not self._closing:
                    log.warning("can't index the episodes: %s; the next start tries again", error)
            else:
                log.info("indexed %d episodes", self.episodes)
            self._upgrading = False
            if self._waiting and not self._closing:
                self._flush()

    def _catch_up(self, missing: Sequence[str]) -> None:
        saved = self._history
        for history in catch_up(self._database, saved):
            self._history = history
            if self._closing:
                return
        if self._history.last_id != saved.last_id:
            with self._transaction():
                save(self._database, self._history)
        self._complete = True
        for index in missing:
            if not self._closing:
                create_index(self._database, index)

    def _flush(self) -> None:
        batch = self._waiting.all()
        self._flush_began = self._clock()
        try:
            self._insert(batch)
        except sqlite3.Error as error:
            if self._failure is None:
                log.error("can't write episodes: %s", error)
            self._failure = str(error)
            self._retry_at = self._clock() + RETRY_S
            return
        finally:
            self._flush_began = None
        self._waiting.remove(batch)
        if self._failure is not None:
            log.info("episodes are written again")
        self._failure = None

    def _insert(self, episodes: Sequence[EpisodeReport]) -> None:
        """Insert in one transaction, with their logs and what they change in the curves."""
        with self._transaction():
            written = list(self._insert_new(episodes))
            thin_logs(self._database, self._max_log_bytes, max(DELETED_AT_ONCE, 2 * len(episodes)))
            if not self._complete or not written:
                return
            history = self._history.extended(written)
            save_changes(self._database, self._history, history)
        self._history = history

    def _insert_new(self, episodes: Iterable[EpisodeReport]) -> Iterator[list[WorkerBucket]]:
        newest = self._database.execute(NEWEST_FLEET_STEP).fetchone()
        fleet_step = newest[0] if newest else 0
        for episode in episodes:
            values = episode.model_dump(exclude={"log"}).values()
            row = self._database.execute(INSERT, (*values, fleet_step + episode.length))
            if not row.rowcount:
                continue
            fleet_step += episode.length
            worker, reward = episode.worker_index, episode.total_reward
            assert row.lastrowid is not None
            if episode.log is not None and self._max_log_bytes:
                insert_log(self._database, row.lastrowid, worker, reward, episode.log)
            bucket = Bucket(row.lastrowid, fleet_step, episode.ended_at, reward, reward, 1)
            yield [(worker, bucket)]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error:
            # SQLite rolls back by itself on a full disk, but not on every error.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
