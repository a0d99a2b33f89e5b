"""Runs as files, for whoever wants to look back: read only, one connection a question.

The run that is going on is read as any other: its database lets readers in beside the writer (WAL).
"""

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import safetensors
from pydantic import BaseModel, ValidationError
from safetensors import safe_open

from metabonk.errors import MetaBonkError, StartError
from metabonk.messages import Checkpoint, CurvePoint, Episode, RunSummary
from metabonk.runs.curve import Curve
from metabonk.runs.episodes import COLUMNS
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    EPISODES_FILE,
    SETTINGS_FILE,
    checkpoint_files,
    game_of,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
RECENT = 100
"""Episodes of a recent return."""

Order = Literal["newest", "best"]


class NoSuchRun(MetaBonkError):
    """There is no run of this name."""


class _Header(BaseModel):
    """What is wanted of a checkpoint's own words, see ``learner.checkpoint``."""

    version: int
    counters: dict[str, int]
    created_at: float
    mean_return: float | None = None


class RunCatalog:
    """The runs in a folder.

    Args:
        runs: the folder.
        current: name of the run that is going on.
    """

    def __init__(self, runs: Path, current: str) -> None:
        self._runs = runs
        self._current = current
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[int, RunSummary]] = {}
        self._curves: dict[tuple[Path, int | None], tuple[int, Curve]] = {}

    def summaries(self) -> list[RunSummary]:
        """Every run that can be read, newest first."""
        found = []
        for file in self._runs.glob(f"*/{SETTINGS_FILE}"):
            with contextlib.suppress(StartError, MetaBonkError, sqlite3.Error, OSError):
                found.append(self._summary(file.parent))
        return sorted(found, key=lambda run: run.started_at, reverse=True)

    def curve(self, run: str, points: int, worker: int | None = None) -> list[CurvePoint]:
        """The learning curve of a run, or of one worker in it, in at most so many points.

        Raises:
            NoSuchRun: there is none of this name.
        """
        folder = self._folder(run)
        written = _written(folder)
        with self._lock:
            of_then, curve = self._curves.get((folder, worker), (None, Curve()))
        if of_then != written:
            curve = self._read_curve(folder, worker)
            with self._lock:
                self._curves[folder, worker] = written, curve
        return curve.points(points)

    def episodes(
        self, run: str, limit: int, *, order: Order = "newest", worker: int | None = None
    ) -> list[Episode]:
        """Some episodes of a run, or of one worker in it.

        Raises:
            NoSuchRun: there is none of this name.
        """
        by = "ORDER BY id DESC" if order == "newest" else "ORDER BY total_reward DESC, id"
        query, values = _of(f"SELECT {COLUMNS} FROM episodes", worker, f"{by} LIMIT ?")
        with self._database(self._folder(run)) as database:
            rows = database.execute(query, (*values, limit)).fetchall()
        names = COLUMNS.split(", ")
        return [Episode.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    def checkpoints(self, run: str) -> list[Checkpoint]:
        """What can be played or resumed of a run, the newest first, the best last.

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
        folder = self._runs / run
        if not NAME.fullmatch(run) or not (folder / SETTINGS_FILE).is_file():
            raise NoSuchRun(f"there is no run {run!r}; /api/runs lists those there are")
        return folder

    def _read_curve(self, folder: Path, worker: int | None) -> Curve:
        curve = Curve()
        query = "SELECT fleet_step, ended_at, total_reward FROM episodes"
        with self._database(folder) as database:
            for step, ended_at, total in database.execute(*_of(query, worker, "ORDER BY id")):
                curve.add(fleet_step=step, ended_at=ended_at, total_reward=total)
        return curve

    @contextlib.contextmanager
    def _database(self, folder: Path) -> Iterator[sqlite3.Connection]:
        address = (folder / EPISODES_FILE).absolute().as_uri()
        with contextlib.closing(sqlite3.connect(f"{address}?mode=ro", uri=True)) as database:
            yield database

    def _summary(self, folder: Path) -> RunSummary:
        written = _written(folder)
        with self._lock:
            of_then, summary = self._known.get(folder, (None, None))
        if summary is None or of_then != written:
            summary = self._read_summary(folder)
            with self._lock:
                self._known[folder] = written, summary
        return summary

    def _read_summary(self, folder: Path) -> RunSummary:
        totals = "SELECT COUNT(*), MAX(fleet_step), MAX(total_reward), MAX(ended_at) FROM episodes"
        recent = "SELECT total_reward FROM episodes ORDER BY id DESC LIMIT ?"
        with self._database(folder) as database:
            started = database.execute("SELECT MIN(started_at) FROM run").fetchone()[0]
            count, steps, best, updated = database.execute(totals).fetchone()
            last = [row[0] for row in database.execute(recent, (RECENT,))]
        return RunSummary(
            run=folder.name,
            game=game_of(folder),
            started_at=started,
            updated_at=updated or started,
            episodes=count,
            steps=steps or 0,
            best_return=best,
            recent_return=sum(last) / len(last) if last else None,
            current=folder.name == self._current,
        )


def _written(folder: Path) -> int:
    """When anything was last written to the episodes, nanoseconds: answers are kept until then."""
    files = (folder / EPISODES_FILE, folder / f"{EPISODES_FILE}-wal")
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def _of(query: str, worker: int | None, rest: str) -> tuple[str, tuple[Any, ...]]:
    """The query for all workers, or for one."""
    if worker is None:
        return f"{query} {rest}", ()
    return f"{query} WHERE worker_index = ? {rest}", (worker,)


def _checkpoint(file: Path, kind: Literal["newest", "older", "best"]) -> Checkpoint | None:
    """What a file says of itself; its tensors are not read. None where it can't be read."""
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
