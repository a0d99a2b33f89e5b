"""When checkpoints are written."""

import logging
from pathlib import Path

import pytest

from metabonk.learner.appo import Learner
from metabonk.learner.checkpoint import best_return
from metabonk.learner.returns import WINDOW
from metabonk.learner.saves import BEST_PAUSE_S, Saves
from metabonk.policy import best_weights, decode_weights
from metabonk.policy.rollout import EndedEpisode
from metabonk.policy.weights import checkpoint_files
from metabonk.settings.schema import Learning
from tests.learner.rollouts import made_up
from tests.policy.specs import TINY


class Bench:
    def __init__(self, run_dir: Path) -> None:
        self.now = 0.0
        self.run_dir = run_dir
        self.learner = Learner(TINY, Learning(batch_steps=32, checkpoint_s=60))
        self.saves = self.again()

    def again(self) -> Saves:
        return Saves(self.learner, self.run_dir, clock=lambda: self.now)

    def learn(self) -> None:
        self.learner.update([made_up(16, version=self.learner.counters.version)])

    def play(self, total: float, episodes: int = WINDOW) -> None:
        self.saves.returns.add([EndedEpisode(total_reward=total, length=1)] * episodes)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.saves.save_when_due()

    @property
    def best_version(self) -> int | None:
        data = best_weights(self.run_dir)
        return decode_weights(data).version if data else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_by_time(bench: Bench):
    bench.learn()
    bench.later(59)
    assert checkpoint_files(bench.run_dir) == []
    bench.later(1)
    assert len(checkpoint_files(bench.run_dir)) == 1


def test_the_best_policy_is_kept_when_it_gets_worse_again(bench: Bench):
    for total, best in ((1.0, 1), (5.0, 2), (3.0, 2), (6.0, 4)):
        bench.learn()
        bench.play(total)
        bench.later(BEST_PAUSE_S)
        assert bench.best_version == best
    assert best_return(bench.run_dir) == 6.0


def test_a_few_lucky_episodes_are_not_the_best(bench: Bench):
    bench.learn()
    bench.play(100.0, WINDOW - 1)
    bench.later(BEST_PAUSE_S)
    assert bench.best_version is None


def test_a_run_that_is_resumed_keeps_its_best(bench: Bench):
    bench.learn()
    bench.play(5.0)
    bench.later(BEST_PAUSE_S)
    bench.saves = bench.again()
    bench.learn()
    bench.play(4.0)
    bench.later(BEST_PAUSE_S)
    assert bench.best_version == 1


def test_a_disk_that_is_full_ends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture):
    (bench.run_dir / "checkpoints").write_text("in the way")
    bench.learn()
    with caplog.at_level(logging.ERROR):
        bench.later(60)
    assert "Training goes on" in caplog.text
    assert "can't be written" in str(bench.saves.error)
    (bench.run_dir / "checkpoints").unlink()
    bench.later(60)
    assert bench.saves.error is None
