from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.learner.checkpoint import save_best, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from metabonk.runs.curve import RESOLUTION
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.settings.schema import Learning
from tests.support.specs import TINY
from tests.support.statuses import episode


def begin(runs: Path, name: str) -> EpisodeStore:
    (runs / name).mkdir()
    save_settings(Settings(game="doom:basic"), runs / name)
    return EpisodeStore(runs / name, "doom:basic")


@pytest.fixture
def current(tmp_path: Path) -> Iterator[EpisodeStore]:
    store = begin(tmp_path, "current")
    yield store
    store.close()


@pytest.fixture
def catalog(tmp_path: Path, current: EpisodeStore) -> RunCatalog:
    return RunCatalog(tmp_path, current)


def test_every_run_is_summarised_newest_first_and_while_it_is_written(
    tmp_path: Path, current: EpisodeStore
):
    first, second = begin(tmp_path, "first"), begin(tmp_path, "second")
    catalog = RunCatalog(tmp_path, second)
    (tmp_path / "current" / "settings.json").unlink()
    first.record([episode(1, reward=1.0), episode(2, reward=5.0)])
    first.close()
    newest, oldest = catalog.summaries()
    assert (newest.run, newest.current, newest.episodes) == ("second", True, 0)
    assert (newest.best_return, newest.recent_return) == (None, None)
    assert (oldest.run, oldest.current, oldest.game) == ("first", False, "doom:basic")
    assert (oldest.episodes, oldest.steps) == (2, 20)
    assert (oldest.best_return, oldest.recent_return) == (5.0, 3.0)
    second.record([episode(1, reward=9.0)])
    assert catalog.summaries()[0].best_return == 9.0
    second.close()


def test_the_recent_return_covers_the_last_hundred_episodes(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "first")
    store.record([episode(n, reward=1000.0 if n <= 50 else 2.0) for n in range(1, 151)])
    store.close()
    summary = {run.run: run for run in catalog.summaries()}["first"]
    assert summary.recent_return == 2.0


def test_curves_and_episodes_of_all_workers_and_of_one(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "first")
    store.record([episode(1, 0, reward=4.0), episode(1, 1, reward=8.0), episode(2, 0, reward=6.0)])
    assert [point.mean_return for point in catalog.curve("first", 10)] == [4.0, 8.0, 6.0]
    assert [point.mean_return for point in catalog.curve("first", 10, worker=0)] == [4.0, 6.0]
    store.record([episode(3, 0, reward=1.0)])
    assert [point.mean_return for point in catalog.curve("first", 10, worker=0)][-1] == 1.0
    newest = catalog.episodes("first", 2)
    assert [each.total_reward for each in newest] == [1.0, 6.0]
    best = catalog.episodes("first", 2, order="best")
    assert [each.total_reward for each in best] == [8.0, 6.0]
    assert [each.total_reward for each in catalog.episodes("first", 9, worker=1)] == [8.0]
    store.close()


def test_checkpoints_are_described_by_their_headers(tmp_path: Path, catalog: RunCatalog):
    begin(tmp_path, "first").close()
    learner = Learner(TINY, Learning())
    for steps in (10, 20):
        learner.counters.steps_trained = steps
        learner.counters.version += 1
        save_checkpoint(learner, tmp_path / "first", mean_return=float(steps))
    save_best(learner, tmp_path / "first", 20.0)
    (tmp_path / "first" / "checkpoints" / "000000000005-00000001.safetensors").write_bytes(b"torn")
    newest, older, best = catalog.checkpoints("first")
    assert (newest.kind, newest.steps, newest.policy_version) == ("newest", 20, 2)
    assert (older.kind, older.steps, older.mean_return) == ("older", 10, 10.0)
    assert (best.kind, best.name, best.mean_return) == ("best", "best.safetensors", 20.0)
    assert newest.bytes > 1000


@pytest.mark.parametrize("name", ["third", "..", ".", "../first", "first/checkpoints", ""])
def test_unknown_runs_and_paths_that_lead_elsewhere_are_refused(
    tmp_path: Path, catalog: RunCatalog, name: str
):
    begin(tmp_path, "first").close()
    with pytest.raises(NoSuchRun, match="there is no run"):
        catalog.checkpoints(name)
    with pytest.raises(NoSuchRun, match="there is no run"):
        catalog.curve(name, 5)


def test_runs_that_cannot_be_read_are_left_out(tmp_path: Path, catalog: RunCatalog):
    begin(tmp_path, "first").close()
    begin(tmp_path, "damaged").close()
    (tmp_path / "damaged" / "metabonk.sqlite").write_bytes(b"no database" * 100)
    (tmp_path / "empty").mkdir()
    assert {run.run for run in catalog.summaries()} == {"first", "current"}


def test_the_current_runs_curve_comes_from_memory(
    tmp_path: Path, current: EpisodeStore, catalog: RunCatalog
):
    current.record([episode(1, 0, reward=4.0), episode(1, 1, reward=8.0)])
    current._database.execute("DROP TABLE episodes")
    assert [point.mean_return for point in catalog.curve("current", 10)] == [4.0, 8.0]
    assert [point.mean_return for point in catalog.curve("current", 10, worker=1)] == [8.0]
    assert catalog.curve("current", 10, worker=2) == []


def test_the_curve_of_a_run_is_the_same_from_memory_and_from_the_table(
    tmp_path: Path, current: EpisodeStore, catalog: RunCatalog
):
    current.record(
        [episode(n, n % 3, reward=float(n % 7), length=n) for n in range(1, 5 * RESOLUTION)]
    )
    other = RunCatalog(tmp_path, begin(tmp_path, "other"))
    for worker in (None, 0, 2):
        for points in (1, 50, 10_000):
            assert catalog.curve("current", points, worker) == other.curve(
                "current", points, worker
            )
    other._current.close()


def test_the_curve_of_a_past_run_is_read_once(
    tmp_path: Path, catalog: RunCatalog, monkeypatch: pytest.MonkeyPatch
):
    store = begin(tmp_path, "past")
    store.record([episode(1, reward=4.0)])
    store.close()
    before = catalog.curve("past", 10)
    monkeypatch.setattr("metabonk.runs.catalog.select_curve", None)
    assert catalog.curve("past", 10) == before
