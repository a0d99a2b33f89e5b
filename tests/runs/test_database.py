"""Questions about a run cost the same for any number of episodes."""

import functools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from metabonk.messages.workers import Counters
from metabonk.runs.database import (
    Order,
    newest_id,
    open_read_only,
    select_counters,
    select_episode,
    select_episodes,
    select_nearest,
)
from metabonk.runs.episode_logs import select_log, size_of_logs, thin_logs
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import EPISODES_FILE
from tests.support.earlier_runs import write_episodes
from tests.support.statuses import episode

SHORT, LONG = 1_000, 40_000

Question = Callable[[sqlite3.Connection], object]
QUESTIONS: dict[str, Question] = {
    "newest": lambda run: select_episodes(run, 20, order="newest", worker=None),
    "best": lambda run: select_episodes(run, 20, order="best", worker=None),
    "newest of a worker": lambda run: select_episodes(run, 20, order="newest", worker=3),
    "newest of a worker long gone": lambda run: select_episodes(run, 20, order="newest", worker=8),
    "best of a worker": lambda run: select_episodes(run, 20, order="best", worker=3),
    "newest replayable": lambda run: replayable(run, "newest"),
    "best replayable": lambda run: replayable(run, "best"),
    "worst replayable": lambda run: replayable(run, "worst"),
    "newest replayable of a worker": lambda run: replayable(run, "newest", 3),
    "best replayable of a worker": lambda run: replayable(run, "best", 3),
    "worst replayable of a worker": lambda run: replayable(run, "worst", 3),
    "newest replayable of a worker long gone": lambda run: replayable(run, "newest", 8),
    "episode": lambda run: select_episode(run, 500),
    "log": lambda run: select_log(run, 500),
    "counters": select_counters,
    "newest id": newest_id,
}


LOG_ALL = """
INSERT INTO episode_logs SELECT id, worker_index, total_reward, id % 5, zeroblob(100) FROM episodes;
UPDATE episode_logs_size SET (logs, bytes) = (SELECT COUNT(*), 200 * COUNT(*) FROM episode_logs);
"""


def replayable(run: sqlite3.Connection, order: Order, worker: int | None = None) -> object:
    found = select_episodes(run, 20, order=order, worker=worker, replayable=True)
    assert len(found) == 20
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A short and a long run, upgraded, each with some episodes of a worker long gone."""
    folders = {}
    for rows in (SHORT, LONG):
        folders[rows] = tmp_path_factory.mktemp(str(rows))
        write_episodes(folders[rows], 9 * 40, workers=9)
        write_episodes(folders[rows], rows)
        EpisodeStore(folders[rows], "doom:basic").close()
        with closing(sqlite3.connect(folders[rows] / EPISODES_FILE)) as database:
            database.executescript(LOG_ALL)
    return folders


def instructions(database: sqlite3.Connection, ask: Callable[[], object]) -> int:
    """Return how many instructions of SQLite's virtual machine a question takes."""
    count = 0

    def progress() -> int:
        nonlocal count
        count += 1
        return 0

    database.set_progress_handler(progress, 1)
    ask()
    database.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_takes_no_more_in_a_long_run(runs: dict[int, Path], name: str):
    taken = {}
    for rows, folder in runs.items():
        with open_read_only(folder) as database:
            taken[rows] = instructions(database, lambda: QUESTIONS[name](database))
    assert taken[LONG] <= 1.2 * taken[SHORT], taken


def test_the_nearest_replay_to_a_step_is_found_by_halving(runs: dict[int, Path]):
    taken = {}
    for rows, folder in runs.items():
        with open_read_only(folder) as database:
            ask = functools.partial(select_nearest, database, 5 * rows)
            found = ask()
            assert found is not None
            assert found.id == rows // 2
            taken[rows] = instructions(database, ask)
    assert taken[LONG] <= 2 * taken[SHORT], "of 40 times as many, 5 more are looked at than of 10"


def test_thinning_takes_no_more_in_a_long_run(runs: dict[int, Path]):
    taken = {}
    for rows, folder in runs.items():
        with closing(sqlite3.connect(folder / EPISODES_FILE)) as database:
            before = size_of_logs(database)
            thin = functools.partial(thin_logs, database, before.bytes // 2, 10)
            taken[rows] = instructions(database, thin)
            assert size_of_logs(database).logs == before.logs - 10
            database.rollback()
    assert taken[LONG] <= 1.2 * taken[SHORT], taken


def test_a_heartbeats_episodes_take_no_more_in_a_long_run(runs: dict[int, Path]):
    taken = {}
    for rows, folder in runs.items():
        with closing(EpisodeStore(folder, "doom:basic", max_log_bytes=10**9)) as store:
            store.record([episode(10**6)])
            two = [episode(10**6 + n, log=bytes(100)) for n in (1, 2)]
            record = functools.partial(store.record, two)
            taken[rows] = instructions(store._database, record)
    assert taken[LONG] <= 1.5 * taken[SHORT], taken


def test_a_resume_reads_curves_and_no_episodes(
    runs: dict[int, Path], monkeypatch: pytest.MonkeyPatch
):
    taken = 0

    class Counted(sqlite3.Connection):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            self.set_progress_handler(self.progress, 100)

        def progress(self) -> int:
            nonlocal taken
            taken += 100
            return 0

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **options: connect(*given, **options, factory=Counted)
    )
    with closing(EpisodeStore(runs[LONG], "doom:basic")) as store:
        store.counters()
    buckets = sum(len(curve.buckets) for curve in store.history.curves.values())
    assert store.episodes >= LONG > buckets
    assert taken < 20 * buckets + 5_000


def test_counters_are_those_of_each_workers_last_episode(tmp_path: Path):
    write_episodes(tmp_path, 30, workers=4)
    with closing(sqlite3.connect(tmp_path / EPISODES_FILE)) as database:
        assert select_counters(database) == {
            0: Counters(80, 8),
            1: Counters(80, 8),
            2: Counters(70, 7),
            3: Counters(70, 7),
        }
