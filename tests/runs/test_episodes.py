import contextlib
import sqlite3
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.messages import Counters
from metabonk.runs.episodes import RETRY_S, EpisodeStore
from metabonk.runs.layout import EPISODES_FILE
from tests.support.clock import Clock
from tests.support.statuses import episode


def recorded(run_dir: Path) -> list[int]:
    """Return the numbers of the episodes in the file, in order."""
    with contextlib.closing(sqlite3.connect(run_dir / EPISODES_FILE)) as database:
        return [number for (number,) in database.execute("SELECT episode FROM episodes")]


def test_episodes_are_written_in_order_and_counted(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    store.record([episode(1), episode(2)])
    store.record([episode(3, index=1)])
    assert recorded(tmp_path) == [1, 2, 3]
    assert (store.episodes, store.fleet_step) == (3, 30)
    store.close()


def test_a_repeated_heartbeat_changes_nothing(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    for _ in range(3):
        store.record([episode(1), episode(2)])
    assert recorded(tmp_path) == [1, 2]
    assert [point.episodes for point in store.curve(10)] == [1, 1]
    store.close()


def test_an_episode_number_that_is_repeated_after_a_restart_loses_nothing(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    later = episode(1).model_copy(update={"ended_at": episode(1).ended_at + 100})
    store.record([episode(1), later])
    assert store.episodes == 2
    store.close()


def test_a_resumed_run_continues_its_curve(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    store.record([episode(n, reward=float(n)) for n in range(1, 6)])
    before = store.curve(100)
    store.close()
    store = EpisodeStore(tmp_path, "doom:basic")
    assert store.curve(100) == before
    assert store.fleet_step == 50
    store.record([episode(6)])
    assert store.curve(100)[-1].fleet_step == 60
    store.close()


def test_each_workers_counters_are_those_of_its_last_episode(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    store.record([episode(1), episode(2), episode(1, index=3)])
    assert store.counters() == {
        0: Counters(step=20, episode=2),
        3: Counters(step=10, episode=1),
    }
    store.close()


def test_a_full_disk_is_a_problem_and_loses_nothing(tmp_path: Path):
    clock = Clock()
    store = EpisodeStore(tmp_path, "doom:basic", clock)
    store.record([episode(1)])
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    many = [episode(n) for n in range(2, 2000)]
    store.record(many)
    (problem,) = store.problems()
    assert "disk is full" in problem.message
    assert "1998 wait in memory" in problem.message
    assert store.episodes == 1
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.record([episode(2000)])
    assert store.episodes == 1, "it is retried at every heartbeat"
    clock.now = RETRY_S
    store.record([])
    assert store.problems() == []
    assert store.episodes == 2000
    assert store.fleet_step == 20_000
    store.close()


@pytest.mark.parametrize("rubbish", [b"this is no database at all" * 100, None])
def test_a_file_that_is_not_a_database_stops_the_start_with_a_sentence(
    tmp_path: Path, rubbish: bytes | None
):
    if rubbish is None:
        (tmp_path / EPISODES_FILE).mkdir()
    else:
        (tmp_path / EPISODES_FILE).write_bytes(rubbish)
    with pytest.raises(StartError, match=r"metabonk\.sqlite.*move the file away"):
        EpisodeStore(tmp_path, "doom:basic")


def test_the_file_can_be_read_with_sqlite_while_it_is_written(tmp_path: Path):
    store = EpisodeStore(tmp_path / ".", "doom:basic")
    store.record([episode(1)])
    other = sqlite3.connect(tmp_path / EPISODES_FILE)
    assert other.execute("SELECT game FROM run").fetchall() == [("doom:basic",)]
    assert other.execute("SELECT count(*), sum(length) FROM episodes").fetchone() == (1, 10)
    other.close()
    store.close()
