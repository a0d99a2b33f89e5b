"""Logs of episodes in a run's database, and which of them stay."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from metabonk.runs import database as episodes
from metabonk.runs import episode_logs
from metabonk.runs.episode_logs import ROW_BYTES, insert_log, level_of, size_of_logs, thin_logs

LOG = b"x" * 100
ROW = ROW_BYTES + len(LOG)
AT_ONCE = 20


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.executescript(episodes.SCHEMA + episode_logs.SCHEMA)
        yield opened


def play(
    database: sqlite3.Connection,
    returns: Iterable[float],
    *,
    kept: int,
    first: int = 1,
    workers: int = 2,
    log: bytes = LOG,
) -> None:
    """Log episodes with these returns, within a budget of ``kept`` logs."""
    for number, total_reward in enumerate(returns, first):
        insert_log(database, number, number % workers, total_reward, log)
        thin_logs(database, kept * ROW, AT_ONCE)
        assert size_of_logs(database).bytes <= kept * ROW


def ids(database: sqlite3.Connection) -> list[int]:
    query = "SELECT episode_id FROM episode_logs ORDER BY episode_id"
    return [id_ for (id_,) in database.execute(query)]


def returns(count: int, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).normal(np.linspace(0, 3, count), 1))


def test_within_the_budget_every_log_stays(database: sqlite3.Connection):
    play(database, returns(200), kept=200)
    assert ids(database) == list(range(1, 201))
    assert size_of_logs(database) == (200, 200 * ROW)


def test_the_extremes_the_newest_and_a_sample_of_the_whole_run_stay(database: sqlite3.Connection):
    count, kept = 8_000, 800
    played = returns(count)
    play(database, played, kept=kept)
    stayed = ids(database)
    assert kept * 0.95 < len(stayed) <= kept
    by_return = np.argsort(played) + 1
    assert {*by_return[-50:], *by_return[:50]} <= {*stayed}
    newest = kept // 5
    assert stayed[-newest:] == list(range(count - newest + 1, count + 1))
    sample = np.histogram([id_ for id_ in stayed if id_ <= count - kept], 10)[0]
    assert sample.min() > sample.max() / 5, sample
    workers = [id_ % 2 for id_ in stayed if id_ <= count - kept]
    assert 0.35 < np.mean(workers) < 0.65, "episodes of workers take turns"


def test_what_stays_does_not_depend_on_restarts(database: sqlite3.Connection):
    played = returns(4_000)
    play(database, played[:1_500], kept=300)
    copied = sqlite3.connect(":memory:", isolation_level=None)
    database.backup(copied)
    for each in (database, copied):
        play(each, played[1_500:], kept=300, first=1_501)
    assert ids(database) == ids(copied)
    copied.close()


def test_a_smaller_budget_takes_effect_piece_by_piece(database: sqlite3.Connection):
    play(database, returns(1_000), kept=1_000)
    counts = []
    while size_of_logs(database).bytes > 100 * ROW:
        thin_logs(database, 100 * ROW, AT_ONCE)
        counts.append(size_of_logs(database).logs)
    assert counts[:3] == [980, 960, 940]
    assert counts[-1] <= 100
    assert len(ids(database)) == counts[-1]


def test_equal_returns_are_no_reason_to_keep_all_of_them(database: sqlite3.Connection):
    play(database, [500.0] * 3_000, kept=200)
    assert ids(database)[0] == 1, "the first of the best"


def test_an_old_best_makes_way_once_there_are_better_ones(database: sqlite3.Connection):
    play(database, np.linspace(0, 1, 6_000), kept=200)
    stayed = ids(database)
    assert size_of_logs(database).logs <= 200
    assert np.diff(stayed).max() < 6_000 / 10, "a run whose returns only rise is sampled too"


def test_logs_larger_than_the_budget_leave_few(database: sqlite3.Connection):
    for number in range(1, 50):
        insert_log(database, number, 0, float(number), bytes(10_000))
        thin_logs(database, 1_000, AT_ONCE)
        assert size_of_logs(database).logs <= 3


def test_levels_halve_the_logs_of_any_worker():
    levels = np.array([level_of(number) for number in range(1, 4_097)])
    for parity in (0, 1):
        ours = levels[parity::2]
        assert 0.45 < np.mean(ours == 0) < 0.55
        assert 0.2 < np.mean(ours == 1) < 0.3


@pytest.mark.parametrize(
    "query",
    [
        episode_logs.BEST,
        episode_logs.WORST,
        episode_logs.OLDEST_OF_LEVEL,
        episode_logs.NEWEST_ID,
        episodes.LOG_FROM,
    ],
)
def test_no_query_reads_or_sorts_a_whole_table(database: sqlite3.Connection, query: str):
    values = [1] * query.count("?")
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert not any("TEMP B-TREE" in step for step in plan), plan
    assert not any(step == "SCAN episode_logs" for step in plan), plan
