"""All runs in a folder, read-only.

Episodes are read from the database over one connection per question. Learning curves come from
memory: the current run's from its store, those of other runs from a cache. What an earlier version
wrote, without indexes and curves, is read through once; see ``TakesLong``.
"""

import contextlib
import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, Literal, TypeVar

import safetensors
from pydantic import BaseModel, ValidationError
from safetensors import safe_open

from metabonk.errors import MetaBonkError
from metabonk.messages.base import LARGEST_COUNT
from metabonk.messages.runs import Checkpoint, CurvePoint, Episode, RunNotes, RunSummary
from metabonk.runs.database import (
    Order,
    missing_indexes,
    newest_id,
    open_read_only,
    select_episode,
    select_episodes,
    select_nearest,
)
from metabonk.runs.episode_logs import select_log
from metabonk.runs.episodes import QUICK_ROWS, EpisodeStore
from metabonk.runs.history import History, catch_up, load
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    EPISODES_FILE,
    SETTINGS_FILE,
    checkpoint_files,
    game_of,
)
from metabonk.runs.notes import read_notes

RECENT_EPISODES = 100

CACHED_SUMMARIES = 1000
CACHED_HISTORIES = 8
"""A few megabytes each."""

CACHED_LISTS = 64

T = TypeVar("T")


class NoSuchRun(MetaBonkError):
    """There is no run of this name."""


class NoSuchEpisode(MetaBonkError):
    """A run has no such episode."""


class TakesLong(Exception):
    """The answer takes seconds, because an earlier version wrote the run; be ``patient``."""


class RunCatalog:
    """The runs in a folder. Thread-safe.

    Answers that are not quick raise ``TakesLong`` unless asked for with ``patient``; afterwards
    they are.

    Args:
        runs: the folder.
        current: store of the run in progress; None outside a fleet.
    """

    def __init__(self, runs: Path, current: EpisodeStore | None = None) -> None:
        self._runs = runs
        self._current = current
        self._summaries = _Cache[RunSummary](CACHED_SUMMARIES)
        self._histories = _Cache[History](CACHED_HISTORIES)
        self._lists = _Cache[list[Episode]](CACHED_LISTS)

    @property
    def current(self) -> str:
        """Name of the run in progress; empty without one."""
        return self._current.run if self._current else ""

    def summaries(self, *, patient: bool = True) -> list[RunSummary]:
        """Return every readable run, newest first."""
        found = []
        for file in self._runs.glob(f"*/{SETTINGS_FILE}"):
            if not _is_name(file.parent.name):
                continue
            with contextlib.suppress(MetaBonkError, sqlite3.Error, OSError):
                found.append(self._summary(file.parent, patient))
        return sorted(found, key=lambda run: run.started_at, reverse=True)

    def curve(
        self, run: str, points: int, worker: int | None = None, *, patient: bool = True
    ) -> list[CurvePoint]:
        """Return the learning curve of a run, or of one worker, in at most ``points`` points.

        Raises:
            NoSuchRun: there is none of this name.
        """
        return self._history(self.folder(run), patient).points(points, worker)

    def trends(self, run: str, points: int, *, patient: bool = True) -> dict[int, list[float]]:
        """Return the mean returns of each worker in a run, by its index.

        Args:
            run: name of the run.
            points: most numbers of each.
            patient: see above.

        Raises:
            NoSuchRun: there is none of this name.
        """
        return self._history(self.folder(run), patient).trends(points)

    def episodes(
        self,
        run: str,
        limit: int,
        *,
        order: Order = "newest",
        worker: int | None = None,
        replayable: bool = False,
        patient: bool = True,
    ) -> list[Episode]:
        """Return some episodes of a run.

        Args:
            run: name of the run.
            limit: most episodes to return.
            order: in which they are returned.
            worker: index of their worker; None: of any.
            replayable: only those whose logs are kept.
            patient: see above.

        Raises:
            NoSuchRun: there is none of this name.
        """
        folder = self.folder(run)
        with open_read_only(folder) as database:
            is_quick = replayable or (order == "newest" and worker is None)
            if is_quick or newest_id(database) <= QUICK_ROWS or not missing_indexes(database):
                return select_episodes(
                    database, limit, order=order, worker=worker, replayable=replayable
                )

        def read(earlier: list[Episode] | None) -> list[Episode]:
            if not patient:
                raise TakesLong
            with open_read_only(folder) as database:
                return select_episodes(database, limit, order=order, worker=worker)

        return self._lists.get((folder, limit, order, worker), folder, read)

    def episode(self, run: str, id_: int) -> Episode:
        """Return one episode of a run.

        Raises:
            NoSuchRun: there is none of this name.
            NoSuchEpisode: the run has none of this id.
        """
        with open_read_only(self.folder(run)) as database:
            episode = select_episode(database, id_) if id_ <= LARGEST_COUNT else None
        if episode is not None:
            return episode
        raise NoSuchEpisode(f"run {run} has no episode {id_}")

    def episode_log(self, run: str, id_: int) -> bytes | None:
        """Return the log of an episode, see ``policy.episode_log``; None if it is not kept.

        Raises:
            NoSuchRun: there is none of this name.
        """
        with open_read_only(self.folder(run)) as database:
            return select_log(database, id_) if id_ <= LARGEST_COUNT else None

    def pick(
        self, run: str, which: Literal["best", "worst", "last"], worker: int | None = None
    ) -> Episode:
        """Return the best, worst or last episode of a run, or of one worker, that is replayable.

        Raises:
            NoSuchRun: there is none of this name.
            NoSuchEpisode: none of its episodes can be replayed.
        """
        order: Order = "newest" if which == "last" else which
        for episode in self.episodes(run, 1, order=order, worker=worker, replayable=True):
            return episode
        raise NoSuchEpisode(_not_replayable(run))

    def nearest(self, run: str, fleet_step: int, worker: int | None = None) -> Episode:
        """Return the replayable episode, of one worker or any, that ended nearest to a fleet step.

        Raises:
            NoSuchRun: there is none of this name.
            NoSuchEpisode: none of its episodes can be replayed.
        """
        with open_read_only(self.folder(run)) as database:
            if (episode := select_nearest(database, fleet_step, worker)) is not None:
                return episode
        raise NoSuchEpisode(_not_replayable(run))

    def checkpoints(self, run: str) -> list[Checkpoint]:
        """Return what can be played or resumed of a run: newest first, the best one last.

        Raises:
            NoSuchRun: there is none of this name.
        """
        folder = self.folder(run)
        files = checkpoint_files(folder)
        found = [
            *(_checkpoint(file, "newest") for file in files[:1]),
            *(_checkpoint(file, "older") for file in files[1:]),
            _checkpoint(folder / BEST_CHECKPOINT, "best"),
        ]
        return [checkpoint for checkpoint in found if checkpoint is not None]

    def newest_checkpoint(self, run: str) -> Path | None:
        """Return the file of a run's newest checkpoint that can be read; None without one.

        Raises:
            NoSuchRun: there is none of this name.
        """
        files = checkpoint_files(self.folder(run))
        return next((file for file in files if _checkpoint(file, "newest") is not None), None)

    def folder(self, run: str) -> Path:
        """Return the folder of a run.

        Raises:
            NoSuchRun: there is none of this name.
        """
        if self._current is not None and run == self._current.run:
            return self._current.run_dir
        folder = self._runs / run
        if not _is_name(run) or not _is_file(folder / SETTINGS_FILE):
            raise NoSuchRun(f"there is no run {run!r}; /api/runs lists the available ones")
        return folder

    def _history(self, folder: Path, patient: bool) -> History:
        if self._current is not None and folder.name == self._current.run:
            return self._current.history

        def read(earlier: History | None) -> History:
            with open_read_only(folder) as database:
                history = load(database) if earlier is None else earlier
                if newest_id(database) - history.last_id > QUICK_ROWS and not patient:
                    raise TakesLong
                for grown in catch_up(database, history):
                    history = grown
                return history

        return self._histories.get(folder, folder, read)

    def _summary(self, folder: Path, patient: bool) -> RunSummary:
        summary = self._summaries.get(
            folder, folder, lambda earlier: self._read_summary(folder, patient)
        )
        return summary.model_copy(update={"notes": read_notes(folder)})

    def _read_summary(self, folder: Path, patient: bool) -> RunSummary:
        history = self._history(folder, patient)
        recent = "SELECT total_reward FROM episodes ORDER BY id DESC LIMIT ?"
        with open_read_only(folder) as database:
            started = database.execute("SELECT MIN(started_at) FROM run").fetchone()[0]
            last = [row[0] for row in database.execute(recent, (RECENT_EPISODES,))]
        return RunSummary(
            run=folder.name,
            game=game_of(folder),
            started_at=started,
            updated_at=history.ended_at or started,
            episodes=history.episodes,
            steps=history.fleet_step,
            best_return=history.best_return,
            recent_return=sum(last) / len(last) if last else None,
            current=folder.name == self.current,
            notes=RunNotes(),
        )


def _not_replayable(run: str) -> str:
    return (
        f"no episode of run {run} can be replayed: none has ended yet, an earlier version played "
        "them, or replays.keep_mb is 0"
    )


class _Cache(Generic[T]):
    """The latest answers by key, each valid until the database of its run changes.

    Args:
        size: number of answers to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()

    def get(self, key: Hashable, folder: Path, read: Callable[[T | None], T]) -> T:
        """Return the answer, else that of ``read``, which is given the outdated one."""
        modified = _modified_ns(folder)
        with self._lock:
            cached = self._answers.get(key)
            if cached is not None:
                self._answers.move_to_end(key)
        if cached is not None and cached[0] == modified:
            return cached[1]
        answer = read(None if cached is None else cached[1])
        with self._lock:
            self._answers[key] = modified, answer
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return answer


def _is_name(run: str) -> bool:
    """Tell whether this may be the name of a folder, which its owner is free to choose.

    One that is not UTF-8 can't be put into JSON or an address.
    """
    try:
        run.encode()
    except UnicodeEncodeError:
        return False
    return run not in ("", "..") and Path(run).name == run


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # Such as a name that is too long.
        return False


class _Header(BaseModel):
    """Part of a checkpoint's header, see ``learner.checkpoint``."""

    version: int
    counters: dict[str, int]
    created_at: float
    mean_return: float | None = None


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
