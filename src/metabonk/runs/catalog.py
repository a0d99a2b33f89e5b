"""All runs in a folder, read-only.

Episodes are read from the database over one connection per question; WAL mode lets the current
run's be read while it is written. Learning curves come from memory: the current run's from its
store, those of past runs from a cache.
"""

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Generic, Literal, TypeVar

import safetensors
from pydantic import BaseModel, ValidationError
from safetensors import safe_open

from metabonk.errors import MetaBonkError
from metabonk.messages import Checkpoint, CurvePoint, Episode, RunSummary
from metabonk.runs.curve import Curve
from metabonk.runs.episodes import EpisodeStore, Order, select_curve, select_episodes
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    EPISODES_FILE,
    SETTINGS_FILE,
    checkpoint_files,
    game_of,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
RECENT_EPISODES = 100

T = TypeVar("T")


class NoSuchRun(MetaBonkError):
    """There is no run of this name."""


class RunCatalog:
    """The runs in a folder. Thread-safe.

    Args:
        runs: the folder.
        current: store of the run in progress.
    """

    def __init__(self, runs: Path, current: EpisodeStore) -> None:
        self._runs = runs
        self._current = current
        self._summaries = _Cache[RunSummary]()
        self._curves = _Cache[Curve]()

    @property
    def current(self) -> str:
        """Name of the run in progress."""
        return self._current.run

    def summaries(self) -> list[RunSummary]:
        """Return every readable run, newest first."""
        found = []
        for file in self._runs.glob(f"*/{SETTINGS_FILE}"):
            with contextlib.suppress(MetaBonkError, sqlite3.Error, OSError):
                found.append(self._summary(file.parent))
        return sorted(found, key=lambda run: run.started_at, reverse=True)

    def curve(self, run: str, points: int, worker: int | None = None) -> list[CurvePoint]:
        """Return the learning curve of a run, or of one worker, in at most ``points`` points.

        Raises:
            NoSuchRun: there is none of this name.
        """
        if run == self.current:
            return self._current.curve(points, worker)
        folder = self._folder(run)

        def read() -> Curve:
            with _database(folder) as database:
                return select_curve(database, worker)

        return self._curves.get((folder, worker), folder, read).points(points)

    def episodes(
        self, run: str, limit: int, *, order: Order = "newest", worker: int | None = None
    ) -> list[Episode]:
        """Return some episodes of a run, or of one worker.

        Raises:
            NoSuchRun: there is none of this name.
        """
        with _database(self._folder(run)) as database:
            return select_episodes(database, limit, order=order, worker=worker)

    def checkpoints(self, run: str) -> list[Checkpoint]:
        """Return what can be played or resumed of a run: newest first, the best one last.

        Raises:
            NoSuchRun: there is none of this name.
        """
        folder = self._folder(run)
        files = checkpoint_files(folder)
        found = [
            *(_checkpoint(file, "newest") for file in files[:1]),
            *(_checkpoint(file, "older") for file in files[1:]),
            _checkpoint(folder / BEST_CHECKPOINT, "best"),
        ]
        return [checkpoint for checkpoint in found if checkpoint is not None]

    def _folder(self, run: str) -> Path:
        if run == self.current:
            return self._current.run_dir
        folder = self._runs / run
        if not NAME.fullmatch(run) or not (folder / SETTINGS_FILE).is_file():
            raise NoSuchRun(f"there is no run {run!r}; /api/runs lists the available ones")
        return folder

    def _summary(self, folder: Path) -> RunSummary:
        return self._summaries.get(folder, folder, lambda: self._read_summary(folder))

    def _read_summary(self, folder: Path) -> RunSummary:
        totals = "SELECT COUNT(*), MAX(fleet_step), MAX(total_reward), MAX(ended_at) FROM episodes"
        recent = "SELECT total_reward FROM episodes ORDER BY id DESC LIMIT ?"
        with _database(folder) as database:
            started = database.execute("SELECT MIN(started_at) FROM run").fetchone()[0]
            count, steps, best, updated = database.execute(totals).fetchone()
            last = [row[0] for row in database.execute(recent, (RECENT_EPISODES,))]
        return RunSummary(
            run=folder.name,
            game=game_of(folder),
            started_at=started,
            updated_at=updated or started,
            episodes=count,
            steps=steps or 0,
            best_return=best,
            recent_return=sum(last) / len(last) if last else None,
            current=folder.name == self.current,
        )


class _Cache(Generic[T]):
    """Answers by key, each valid until the database of its run changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, tuple[int, T]] = {}

    def get(self, key: Hashable, folder: Path, read: Callable[[], T]) -> T:
        modified = _modified_ns(folder)
        with self._lock:
            cached = self._answers.get(key)
        if cached is not None and cached[0] == modified:
            return cached[1]
        answer = read()
        with self._lock:
            self._answers[key] = modified, answer
        return answer


class _Header(BaseModel):
    """Part of a checkpoint's header, see ``learner.checkpoint``."""

    version: int
    counters: dict[str, int]
    created_at: float
    mean_return: float | None = None


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[sqlite3.Connection]:
    address = (folder / EPISODES_FILE).absolute().as_uri()
    with contextlib.closing(sqlite3.connect(f"{address}?mode=ro", uri=True)) as database:
        yield database


def _modified_ns(folder: Path) -> int:
    files = (folder / EPISODES_FILE, folder / f"{EPISODES_FILE}-wal")
    stats = [file.stat() for file in files if file.exists()]
    # Opening a database for reading may create an empty WAL.
    return max((stat.st_mtime_ns for stat in stats if stat.st_size > 0), default=0)


def _checkpoint(file: Path, kind: Literal["newest", "older", "best"]) -> Checkpoint | None:
    """Describe a file by its header, without reading its tensors; None if it can't be read."""
    try:
        with safe_open(file, framework="numpy") as opened:
            header = _Header.model_validate(json.loads((opened.metadata() or {})["metabonk"]))
        size = file.stat().st_size
    except (OSError, KeyError, ValueError, ValidationError, safetensors.SafetensorError):
        return None
    return Checkpoint(
        name=file.name,
        kind=kind,
        policy_version=header.version,
        steps=header.counters.get("steps_trained", 0),
        mean_return=header.mean_return,
        saved_at=header.created_at,
        bytes=size,
    )
