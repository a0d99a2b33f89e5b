import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.messages.workers import Counters
from metabonk.runs import episodes
from metabonk.runs.episodes import HANGS_AFTER_S, RETRY_S, EpisodeStore
from metabonk.runs.layout import EPISODES_FILE
from tests.support.clock import Clock
from tests.support.earlier_runs import write_episodes
from tests.support.statuses import episode
from tests.support.waiting import until


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


def test_nobody_waits_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    store = EpisodeStore(tmp_path, "doom:basic", clock)
    hangs, resumes = threading.Event(), threading.Event()
    insert = store._insert

    def hanging_insert(episodes: object) -> None:
        hangs.set()
        assert resumes.wait(10)
        insert(episodes)

    monkeypatch.setattr(store, "_insert", hanging_insert)
    first = threading.Thread(target=store.record, args=([episode(1)],))
    first.start()
    assert hangs.wait(10)
    store.record([episode(2)])
    assert store.curve(10) == [] and store.problems() == []
    clock.now += HANGS_AFTER_S + 1
    (problem,) = store.problems()
    assert "the disk has not answered for 6 s; 2 wait in memory" in problem.message
    resumes.set()
    first.join()
    assert store.problems() == []
    store.record([episode(3)])
    assert recorded(tmp_path) == [1, 2, 3]
    store.close()


def test_a_long_run_of_an_earlier_version_is_upgraded_beside_the_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.runs.episodes.QUICK_ROWS", 100)
    write_episodes(tmp_path, 5000)
    indexes, build = threading.Event(), threading.Event()

    def slow_index(database: sqlite3.Connection, name: str) -> None:
        indexes.set()
        assert build.wait(10)

    monkeypatch.setattr("metabonk.runs.episodes.create_index", slow_index)
    store = EpisodeStore(tmp_path, "doom:basic")
    assert store.counters()[7] == Counters(6250, 625)
    assert indexes.wait(10)
    store.record([episode(10_000)])
    assert store.episodes == 5000, "it waits for the upgrade"
    build.set()
    until("the new episode is written", lambda: store.episodes == 5001)
    points = store.curve(10_000)
    assert sum(point.episodes for point in points) == 5001
    assert points[-1].fleet_step == store.fleet_step == 50_010
    store.close()


def test_a_stop_does_not_wait_for_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metabonk.runs.episodes.QUICK_ROWS", 100)
    write_episodes(tmp_path, 1000)
    endless = threading.Event()

    def index(database: sqlite3.Connection, name: str) -> None:
        endless.set()
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
        )

    monkeypatch.setattr("metabonk.runs.episodes.create_index", index)
    store = EpisodeStore(tmp_path, "doom:basic")
    assert endless.wait(10)
    store.record([episode(10_000)])
    store.close()
    monkeypatch.undo()
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic")) as store:
        assert store.episodes == 1001
        assert sum(point.episodes for point in store.curve(10_000)) == 1001


def test_episodes_that_an_earlier_version_added_appear_in_the_curves(tmp_path: Path):
    """Going back to the previous version and forth again loses nothing."""
    store = EpisodeStore(tmp_path, "doom:basic")
    store.record([episode(1), episode(2, index=1)])
    store.close()
    write_episodes(tmp_path, 10)
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic")) as store:
        assert store.episodes == 12
        assert len(store.curve(100)) == 12
        assert len(store.curve(100, worker=2)) == 2


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


def logs(run_dir: Path) -> dict[int, bytes]:
    """Return the logs in the file, by the number of the episode."""
    query = "SELECT episode, log FROM episode_logs JOIN episodes ON id = episode_id"
    with contextlib.closing(sqlite3.connect(run_dir / EPISODES_FILE)) as database:
        return dict(database.execute(query))


def test_logs_are_written_with_their_episodes(tmp_path: Path):
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic", max_log_bytes=10_000)) as store:
        for _ in range(2):
            store.record([episode(1, log=b"first"), episode(2), episode(3, log=b"third")])
    assert logs(tmp_path) == {1: b"first", 3: b"third"}


def test_without_a_budget_no_log_is_kept_nor_those_of_an_earlier_start(tmp_path: Path):
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic", max_log_bytes=10_000)) as store:
        store.record([episode(number, log=b"log") for number in range(20)])
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic", max_log_bytes=0)) as store:
        for number in range(20, 30):
            store.record([episode(number, log=b"log")])
    assert len(recorded(tmp_path)) == 30
    assert len(logs(tmp_path)) <= 3


def test_logs_stay_within_their_budget_over_restarts(tmp_path: Path):
    for start in range(0, 3_000, 1_000):
        store = EpisodeStore(tmp_path, "doom:basic", max_log_bytes=40_000)
        for first in range(start, start + 1_000, 50):
            store.record([episode(n, log=bytes(100)) for n in range(first, first + 50)])
        store.close()
    kept = sorted(logs(tmp_path))
    assert 180 < len(kept) <= 200
    assert kept[-40:] == list(range(2_960, 3_000))
    assert kept[0] < 300, "the sample covers the run"


def test_logs_wait_with_their_episodes_while_the_disk_is_full_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(episodes, "MAX_WAITING_LOG_BYTES", 100_000)
    clock = Clock()
    store = EpisodeStore(tmp_path, "doom:basic", clock, max_log_bytes=10**6)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    store.record([episode(number, log=bytes(1_000)) for number in range(150)])
    (problem,) = store.problems()
    assert "150 wait in memory" in problem.message
    store._database.execute("PRAGMA max_page_count = 1000000")
    clock.now = RETRY_S
    store.record([])
    store.close()
    assert recorded(tmp_path) == list(range(150))
    assert sorted(logs(tmp_path)) == list(range(100))


def test_a_run_of_an_earlier_version_is_logged_from_now_on(tmp_path: Path):
    write_episodes(tmp_path, 10)
    with contextlib.closing(EpisodeStore(tmp_path, "doom:basic", max_log_bytes=10_000)) as store:
        store.record([episode(77, log=b"log")])
    assert logs(tmp_path) == {77: b"log"}
