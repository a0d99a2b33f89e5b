"""Files that a run is continued from."""

import logging
from pathlib import Path

import pytest
import torch

from metabonk.errors import CheckpointError
from metabonk.learner.checkpoint import (
    BEST_INTERVAL_S,
    RETURN_WINDOW,
    Checkpointer,
    CheckpointHeader,
    ReturnTracker,
    best_return,
    restore_newest,
    save_checkpoint,
)
from metabonk.learner.ppo import Learner
from metabonk.policy import Actor, PolicySpec, decode_weights
from metabonk.policy.rollout import EpisodeEnd
from metabonk.policy.serialization import unpack
from metabonk.runs.checkpoints import best_weights, newest_weights
from metabonk.runs.layout import checkpoint_files
from metabonk.settings.schema import Learning
from tests.support.rollouts import made_up
from tests.support.specs import OTHER, TINY

SETTINGS = Learning(batch_size=32)


def learner(spec: PolicySpec = TINY, updates: int = 0, seed: int = 0) -> Learner:
    made = Learner(spec, SETTINGS.model_copy(update={"seed": seed}))
    for number in range(updates):
        made.update([made_up(16, spec=spec, seed=number, version=number)])
    return made


def state(learner: Learner) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in learner.network.state_dict().values()]


def equal(one: Learner, other: Learner) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one), state(other), strict=True))


def test_a_restored_learner_goes_on_exactly_as_the_first_would_have(tmp_path: Path):
    first = learner(updates=3)
    save_checkpoint(first, tmp_path)
    second = learner(seed=9)
    assert restore_newest(second, tmp_path) is not None
    assert second.counters == first.counters
    assert equal(first, second)
    for number in (3, 4):
        for one in (first, second):
            one.update([made_up(16, seed=number, version=number)])
    assert equal(first, second)


def test_a_run_without_checkpoints_starts_anew(tmp_path: Path):
    assert restore_newest(learner(), tmp_path) is None


def test_an_untrained_learner_can_be_saved_as_well(tmp_path: Path):
    save_checkpoint(learner(), tmp_path)
    assert restore_newest(learner(seed=3), tmp_path) is not None


def test_the_last_few_are_kept_and_nothing_else_is_left(tmp_path: Path):
    trained = learner()
    for number in range(5):
        trained.update([made_up(16, seed=number, version=number)])
        save_checkpoint(trained, tmp_path)
    assert sorted(file.name for file in (tmp_path / "checkpoints").iterdir()) == [
        "000000000048-00000003.safetensors",
        "000000000064-00000004.safetensors",
        "000000000080-00000005.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "byte", "empty"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
):
    trained = learner(updates=1)
    whole = save_checkpoint(trained, tmp_path)
    trained.update([made_up(16, seed=5, version=1)])
    damaged = save_checkpoint(trained, tmp_path)
    data = bytearray(damaged.read_bytes())
    data[-1000] ^= 1
    damaged.write_bytes({"cut": data[:-1], "byte": data, "empty": b""}[damage])
    restored = learner(seed=4)
    with caplog.at_level(logging.WARNING):
        assert restore_newest(restored, tmp_path) == whole
    assert restored.counters.version == 1
    assert damaged.name in caplog.text


def test_when_all_are_damaged_the_run_is_not_silently_started_anew(tmp_path: Path):
    save_checkpoint(learner(updates=1), tmp_path).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        restore_newest(learner(), tmp_path)


def test_a_checkpoint_of_another_game_is_refused_by_name(tmp_path: Path):
    save_checkpoint(learner(OTHER, updates=1), tmp_path)
    with pytest.raises(CheckpointError, match=r"doom:take_cover.*doom:basic"):
        restore_newest(learner(), tmp_path)


def test_a_checkpoint_of_other_actions_names_them(tmp_path: Path):
    other = TINY.model_copy(update={"action_names": ("left", "right", "use")})
    save_checkpoint(learner(other, updates=1), tmp_path)
    with pytest.raises(CheckpointError, match="use"):
        restore_newest(learner(), tmp_path)


def test_a_refused_checkpoint_changes_nothing(tmp_path: Path):
    save_checkpoint(learner(OTHER, updates=1), tmp_path)
    fresh = learner()
    with pytest.raises(CheckpointError):
        restore_newest(fresh, tmp_path)
    assert equal(fresh, learner())
    assert fresh.counters.version == 0


def test_a_full_disk_is_an_error_and_leaves_the_earlier_ones(tmp_path: Path):
    trained = learner(updates=1)
    whole = save_checkpoint(trained, tmp_path)
    trained.update([made_up(16, version=1)])
    partial = tmp_path / "checkpoints" / "000000000032-00000002.safetensors.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(trained, tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == [whole]
    assert restore_newest(learner(), tmp_path) == whole


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(CheckpointError, match="can't write checkpoint"):
        save_checkpoint(learner(), tmp_path)


def test_a_checkpoint_can_be_played_as_it_is(tmp_path: Path):
    trained = learner(updates=2)
    save_checkpoint(trained, tmp_path)
    weights = newest_weights(tmp_path)
    assert weights is not None
    actor = Actor(TINY)
    actor.load(weights)
    assert actor.version == 2


def test_it_says_with_which_settings_it_learned(tmp_path: Path):
    file = save_checkpoint(learner(updates=1), tmp_path)
    _, header = unpack(file.read_bytes(), CheckpointHeader)
    assert Learning.model_validate(header.learning) == SETTINGS
    assert header.counters["steps_trained"] == 16


class Bench:
    def __init__(self, run_dir: Path) -> None:
        self.now = 0.0
        self.run_dir = run_dir
        self.learner = Learner(TINY, Learning(batch_size=32, checkpoint_interval_s=60))
        self.saves = self.again()

    def again(self) -> Checkpointer:
        return Checkpointer(self.learner, self.run_dir, clock=lambda: self.now)

    def learn(self) -> None:
        self.learner.update([made_up(16, version=self.learner.counters.version)])

    def play(self, total: float, episodes: int = RETURN_WINDOW) -> None:
        self.saves.returns.add([EpisodeEnd(total_reward=total, length=1)] * episodes)

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
        bench.later(BEST_INTERVAL_S)
        assert bench.best_version == best
    assert best_return(bench.run_dir) == 6.0


def test_a_few_lucky_episodes_are_not_the_best(bench: Bench):
    bench.learn()
    bench.play(100.0, RETURN_WINDOW - 1)
    bench.later(BEST_INTERVAL_S)
    assert bench.best_version is None


def test_a_run_that_is_resumed_keeps_its_best(bench: Bench):
    bench.learn()
    bench.play(5.0)
    bench.later(BEST_INTERVAL_S)
    bench.saves = bench.again()
    bench.learn()
    bench.play(4.0)
    bench.later(BEST_INTERVAL_S)
    assert bench.best_version == 1


def test_a_disk_that_is_full_ends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture):
    (bench.run_dir / "checkpoints").write_text("in the way")
    bench.learn()
    with caplog.at_level(logging.ERROR):
        bench.later(60)
    assert "training continues" in caplog.text
    assert "can't write checkpoint" in str(bench.saves.error)
    (bench.run_dir / "checkpoints").unlink()
    bench.later(60)
    assert bench.saves.error is None


def episode(total: float, length: int = 10) -> EpisodeEnd:
    return EpisodeEnd(total_reward=total, length=length)


def test_before_the_first_episode_there_is_nothing_to_say():
    returns = ReturnTracker()
    assert returns.mean is None
    assert returns.mean_length is None
    assert not returns.complete


def test_the_mean_is_of_the_last_episodes():
    returns = ReturnTracker()
    returns.add([episode(-1000.0)] * 7)
    returns.add([episode(2.0, 4)] * (RETURN_WINDOW // 2) + [episode(4.0, 8)] * (RETURN_WINDOW // 2))
    assert returns.complete
    assert (returns.mean, returns.mean_length) == (3.0, 6.0)
