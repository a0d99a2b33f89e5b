from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.learner.checkpoint import save_best, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.runs.catalog import NoSuchEpisode, NoSuchRun, RunCatalog, TakesLong
from metabonk.runs.curve import RESOLUTION
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.settings.learning import Learning
from tests.support.earlier_runs import write_episodes
from tests.support.specs import TINY
from tests.support.statuses import episode


def begin(runs: Path, name: str) -> EpisodeStore:
    (runs / name).mkdir()
    save_settings(Settings(game="doom:basic"), runs / name)
    return EpisodeStore(runs / name, "doom:basic", max_log_bytes=10_000)


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
    current._database.execute("DROP TABLE curve_buckets")
    assert [point.mean_return for point in catalog.curve("current", 10)] == [4.0, 8.0]
    assert [point.mean_return for point in catalog.curve("current", 10, worker=1)] == [8.0]
    assert catalog.curve("current", 10, worker=2) == []


def test_the_curve_of_a_run_is_the_same_from_memory_and_from_the_table(
    tmp_path: Path, current: EpisodeStore, catalog: RunCatalog
):
    for first in (1, 2 * RESOLUTION - 3, 3 * RESOLUTION):
        current.record([episode(n, n % 3, reward=n % 7, length=n) for n in range(first, first + 4)])
        current.record(
            [
                episode(n, n % 3, reward=float(n % 7), length=n)
                for n in range(first + 4, first + 2 * RESOLUTION)
            ]
        )
    other = RunCatalog(tmp_path, begin(tmp_path, "other"))
    for worker in (None, 0, 2):
        for points in (1, 50, 10_000):
            assert catalog.curve("current", points, worker) == other.curve(
                "current", points, worker
            )
    other._current.close()


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that is long, and without indexes and curves."""
    monkeypatch.setattr("metabonk.runs.catalog.QUICK_ROWS", 100)
    (tmp_path / "earlier").mkdir()
    save_settings(Settings(game="doom:basic"), tmp_path / "earlier")
    write_episodes(tmp_path / "earlier", 3000)
    return tmp_path / "earlier"


def test_a_long_run_of_an_earlier_version_is_read_through_once(
    earlier: Path, catalog: RunCatalog, monkeypatch: pytest.MonkeyPatch
):
    def ask(patient: bool) -> list[object]:
        return [
            catalog.curve("earlier", 10, patient=patient),
            catalog.curve("earlier", 10, worker=3, patient=patient),
            catalog.episodes("earlier", 5, order="best", patient=patient),
            catalog.episodes("earlier", 5, worker=2, patient=patient),
            [run for run in catalog.summaries(patient=patient) if not run.current],
        ]

    with pytest.raises(TakesLong):
        catalog.curve("earlier", 10, patient=False)
    with pytest.raises(TakesLong):
        catalog.episodes("earlier", 5, order="best", patient=False)
    with pytest.raises(TakesLong):
        catalog.summaries(patient=False)
    assert len(catalog.episodes("earlier", 5, patient=False)) == 5
    answers = ask(patient=True)
    curve, _, best, of_worker, (summary,) = answers
    assert sum(point.episodes for point in curve) == summary.episodes == 3000
    assert summary.best_return == best[0].total_reward
    assert [each.episode for each in of_worker] == [375, 374, 373, 372, 371]
    assert ask(patient=False) == answers
    write_episodes(earlier, 10)
    assert sum(point.episodes for point in catalog.curve("earlier", 10, patient=False)) == 3010


def test_a_database_that_another_has_replaced_is_read_anew(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "past")
    store.record([episode(n) for n in range(1, 6)])
    store.close()
    assert len(catalog.curve("past", 10)) == 5
    (tmp_path / "past" / "metabonk.sqlite").unlink()
    write_episodes(tmp_path / "past", 3)
    assert len(catalog.curve("past", 10)) == 3


@pytest.mark.parametrize(
    "name", ["my best run (2)", "größer 画", ".hidden", "50% #1?", "-", "..x", "x" * 250]
)
def test_a_run_is_found_by_the_name_its_owner_gave_its_folder(
    name: str, tmp_path: Path, catalog: RunCatalog
):
    store = begin(tmp_path, "first")
    store.record([episode(1, reward=4.0)])
    store.close()
    (tmp_path / "first").rename(tmp_path / name)
    assert name in [run.run for run in catalog.summaries()]
    assert [found.total_reward for found in catalog.episodes(name, 5)] == [4.0]


def test_a_name_that_is_not_utf8_is_not_listed(tmp_path: Path, catalog: RunCatalog):
    begin(tmp_path, "first").close()
    (tmp_path / "first").rename(tmp_path / "caf\udce9")
    assert [run.run for run in catalog.summaries()] == ["current"]


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "a/b", "/", "\0", "x" * 300])
def test_a_name_that_leaves_the_folder_is_no_run(name: str, tmp_path: Path, catalog: RunCatalog):
    save_settings(Settings(), tmp_path)
    save_settings(Settings(), tmp_path.parent)
    with pytest.raises(NoSuchRun):
        catalog.episodes(name, 5)


def test_episodes_are_found_by_their_ids_and_say_whether_they_can_be_replayed(
    tmp_path: Path, catalog: RunCatalog
):
    store = begin(tmp_path, "first")
    store.record([episode(1, log=b"one"), episode(2), episode(1, index=1, log=b"three")])
    store.close()
    listed = catalog.episodes("first", 10)
    assert [(each.id, each.replayable) for each in listed] == [(3, True), (2, False), (1, True)]
    assert catalog.episode("first", 3) == listed[0]
    logs = [catalog.episode_log("first", id_) for id_ in (1, 2, 3, 4, 10**30)]
    assert logs == [b"one", None, b"three", None, None]
    for unknown in (0, 4, 2**53, 10**30):
        with pytest.raises(NoSuchEpisode, match=f"run first has no episode {unknown}"):
            catalog.episode("first", unknown)


def test_only_replayable_episodes_are_picked(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "first")
    returns = [3.0, 9.0, -5.0, 7.0, 7.0, -1.0, 4.0]
    store.record(
        episode(number, number % 2, reward=reward, log=None if number in (2, 3, 7) else b"log")
        for number, reward in enumerate(returns, 1)
    )
    store.close()
    assert [catalog.pick("first", which).id for which in ("best", "worst", "last")] == [4, 6, 6]
    assert [catalog.pick("first", which, 1).id for which in ("best", "worst", "last")] == [5, 1, 5]
    best = catalog.episodes("first", 3, order="best", replayable=True)
    assert [each.id for each in best] == [4, 5, 1]
    assert [each.id for each in catalog.episodes("first", 9, replayable=True, worker=0)] == [6, 4]


def test_the_nearest_replayable_episode_to_a_step_of_the_fleet(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "first")
    logged = {3, 4, 20}
    store.record(
        episode(number, log=b"log" if number in logged else None) for number in range(1, 31)
    )
    store.close()
    for step, nearest in ((0, 3), (30, 3), (39, 4), (119, 4), (121, 20), (200, 20), (10**9, 20)):
        assert catalog.nearest("first", step).id == nearest, step


def test_the_nearest_replayable_episode_of_one_worker(tmp_path: Path, catalog: RunCatalog):
    store = begin(tmp_path, "first")
    workers = (0, 1, 0, 0, 1, 0)
    store.record(episode(number, worker, log=b"log") for number, worker in enumerate(workers, 1))
    store.close()
    for step, nearest in ((0, 2), (34, 2), (36, 5), (10**9, 5)):
        assert catalog.nearest("first", step, 1).id == nearest, step
    with pytest.raises(NoSuchEpisode):
        catalog.nearest("first", 0, 2)


def test_a_run_without_logs_is_listed_and_says_that_it_cannot_be_replayed(
    tmp_path: Path, catalog: RunCatalog
):
    (tmp_path / "earlier").mkdir()
    save_settings(Settings(game="doom:basic"), tmp_path / "earlier")
    write_episodes(tmp_path / "earlier", 5)
    begin(tmp_path, "none").close()
    assert [each.replayable for each in catalog.episodes("earlier", 9)] == [False] * 5
    assert catalog.episode("earlier", 5).id == 5
    for run in ("earlier", "none"):
        assert catalog.episode_log(run, 5) is None
        assert catalog.episodes(run, 9, replayable=True) == []
        with pytest.raises(NoSuchEpisode, match=f"no episode of run {run} can be replayed"):
            catalog.pick(run, "best")
        with pytest.raises(NoSuchEpisode, match=f"no episode of run {run} can be replayed"):
            catalog.nearest(run, 100)
