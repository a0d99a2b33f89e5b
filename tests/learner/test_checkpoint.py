"""Checkpoints, the best policy of a run and its mean return."""

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
from metabonk.policy.serialization import pack, unpack
from metabonk.runs.checkpoints import best_weights, newest_weights
from metabonk.runs.layout import checkpoint_files
from metabonk.settings.learning import Learning
from tests.support.rollouts import make_rollout
from tests.support.specs import OTHER_GAME, RECURRENT, TINY

SETTINGS = Learning(batch_size=32)


def learner(spec: PolicySpec = TINY, updates: int = 0, seed: int = 0) -> Learner:
    result = Learner(spec, SETTINGS.model_copy(update={"seed": seed}))
    for number in range(updates):
        result.update([make_rollout(16, spec=spec, seed=number, version=number)])
    return result


def state(learner: Learner) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in learner.network.state_dict().values()]


def equal(one: Learner, other: Learner) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one), state(other), strict=True))


def test_a_restored_learner_continues_exactly_like_the_original(tmp_path: Path):
    first = learner(updates=3)
    save_checkpoint(first, tmp_path)
    second = learner(seed=9)
    assert restore_newest(second, tmp_path) is not None
    assert second.counters == first.counters
    assert equal(first, second)
    for number in (3, 4):
        for one in (first, second):
            one.update([make_rollout(16, seed=number, version=number)])
    assert equal(first, second)


def test_a_recurrent_run_of_version_0_2_continues_with_its_optimizer(tmp_path: Path):
    first = learner(RECURRENT, updates=1)
    file = save_checkpoint(first, tmp_path)
    arrays, header = unpack(file.read_bytes(), CheckpointHeader)
    assert "optimizer/exp_avg/memory.weight_ih_l0" in arrays
    earlier = {name.removesuffix("_l0"): array for name, array in arrays.items()}
    file.write_bytes(pack(earlier, header))
    second = learner(RECURRENT, seed=9)
    restore_newest(second, tmp_path)
    for one in (first, second):
        one.update([make_rollout(16, spec=RECURRENT, seed=1, version=1)])
    assert equal(first, second)


def test_without_checkpoints_nothing_is_restored(tmp_path: Path):
    assert restore_newest(learner(), tmp_path) is None


def test_an_untrained_learner_can_be_saved_and_restored(tmp_path: Path):
    save_checkpoint(learner(), tmp_path)
    assert restore_newest(learner(seed=3), tmp_path) is not None


def test_only_the_last_three_checkpoints_are_kept(tmp_path: Path):
    trained = learner()
    for number in range(5):
        trained.update([make_rollout(16, seed=number, version=number)])
        save_checkpoint(trained, tmp_path)
    assert sorted(file.name for file in (tmp_path / "checkpoints").iterdir()) == [
        "000000000048-00000003.safetensors",
        "000000000064-00000004.safetensors",
        "000000000080-00000005.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "byte", "empty"])
def test_a_damaged_checkpoint_is_skipped_for_the_previous_one(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
):
    trained = learner(updates=1)
    intact = save_checkpoint(trained, tmp_path)
    trained.update([make_rollout(16, seed=5, version=1)])
    damaged = save_checkpoint(trained, tmp_path)
    data = bytearray(damaged.read_bytes())
    data[-1000] ^= 1
    damaged.write_bytes({"cut": data[:-1], "byte": data, "empty": b""}[damage])
    restored = learner(seed=4)
    with caplog.at_level(logging.WARNING):
        assert restore_newest(restored, tmp_path) == intact
    assert restored.counters.version == 1
    assert damaged.name in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_does_not_silently_restart(tmp_path: Path):
    save_checkpoint(learner(updates=1), tmp_path).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        restore_newest(learner(), tmp_path)


def test_a_checkpoint_of_another_game_is_rejected_by_name(tmp_path: Path):
    save_checkpoint(learner(OTHER_GAME, updates=1), tmp_path)
    with pytest.raises(CheckpointError, match=r"doom:take_cover.*doom:basic"):
        restore_newest(learner(), tmp_path)


def test_a_checkpoint_with_other_actions_is_rejected_by_their_names(tmp_path: Path):
    other = TINY.model_copy(update={"action_names": ("left", "right", "use")})
    save_checkpoint(learner(other, updates=1), tmp_path)
    with pytest.raises(CheckpointError, match="use"):
        restore_newest(learner(), tmp_path)


def test_a_rejected_checkpoint_changes_no_weights(tmp_path: Path):
    save_checkpoint(learner(OTHER_GAME, updates=1), tmp_path)
    fresh = learner()
    with pytest.raises(CheckpointError):
        restore_newest(fresh, tmp_path)
    assert equal(fresh, learner())
    assert fresh.counters.version == 0


def test_a_full_disk_is_an_error_and_keeps_earlier_checkpoints(tmp_path: Path):
    trained = learner(updates=1)
    intact = save_checkpoint(trained, tmp_path)
    trained.update([make_rollout(16, version=1)])
    partial = tmp_path / "checkpoints" / "000000000032-00000002.safetensors.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(trained, tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == [intact]
    assert restore_newest(learner(), tmp_path) == intact


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(CheckpointError, match="can't write checkpoint"):
        save_checkpoint(learner(), tmp_path)


def test_an_actor_can_load_a_checkpoint(tmp_path: Path):
    trained = learner(updates=2)
    save_checkpoint(trained, tmp_path)
    weights = newest_weights(tmp_path)
    assert weights is not None
    actor = Actor(TINY)
    actor.load(weights)
    assert actor.version == 2


def test_a_checkpoint_records_its_settings(tmp_path: Path):
    file = save_checkpoint(learner(updates=1), tmp_path)
    _, header = unpack(file.read_bytes(), CheckpointHeader)
    assert Learning.model_validate(header.learning) == SETTINGS
    assert header.counters["steps_trained"] == 16


class TimedCheckpointer:
    def __init__(self, run_dir: Path) -> None:
        self.now = 0.0
        self.run_dir = run_dir
        self.learner = Learner(TINY, Learning(batch_size=32, checkpoint_interval_s=60))
        self.checkpointer = self.make()

    def make(self) -> Checkpointer:
        return Checkpointer(self.learner, self.run_dir, clock=lambda: self.now)

    def learn(self) -> None:
        self.learner.update([make_rollout(16, version=self.learner.counters.version)])

    def play(self, total: float, episodes: int = RETURN_WINDOW) -> None:
        self.checkpointer.returns.add([EpisodeEnd(total_reward=total, length=1)] * episodes)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.checkpointer.save_when_due()

    @property
    def best_version(self) -> int | None:
        data = best_weights(self.run_dir)
        return decode_weights(data).version if data else None


@pytest.fixture
def timed(tmp_path: Path) -> TimedCheckpointer:
    return TimedCheckpointer(tmp_path)


def test_what_killed_learners_left_is_removed_at_the_next_start(timed: TimedCheckpointer):
    timed.learn()
    timed.checkpointer.save()
    kept = sorted(timed.run_dir.rglob("*"))
    (timed.run_dir / "checkpoints" / "000000000032-00000002.safetensors.partial").write_bytes(b"?")
    (timed.run_dir / "best.safetensors.partial").write_bytes(b"?")
    timed.make()
    assert sorted(timed.run_dir.rglob("*")) == kept


def test_a_checkpoint_is_written_at_each_interval(timed: TimedCheckpointer):
    timed.learn()
    timed.wait(59)
    assert checkpoint_files(timed.run_dir) == []
    timed.wait(1)
    assert len(checkpoint_files(timed.run_dir)) == 1


def test_the_best_policy_is_kept_when_later_ones_are_worse(timed: TimedCheckpointer):
    for total, best in ((1.0, 1), (5.0, 2), (3.0, 2), (6.0, 4)):
        timed.learn()
        timed.play(total)
        timed.wait(BEST_INTERVAL_S)
        assert timed.best_version == best
    assert best_return(timed.run_dir) == 6.0


def test_no_policy_is_best_before_the_window_of_returns_is_full(timed: TimedCheckpointer):
    timed.learn()
    timed.play(100.0, RETURN_WINDOW - 1)
    timed.wait(BEST_INTERVAL_S)
    assert timed.best_version is None


def test_a_resumed_run_keeps_its_best_policy(timed: TimedCheckpointer):
    timed.learn()
    timed.play(5.0)
    timed.wait(BEST_INTERVAL_S)
    timed.checkpointer = timed.make()
    timed.learn()
    timed.play(4.0)
    timed.wait(BEST_INTERVAL_S)
    assert timed.best_version == 1


def test_training_continues_when_a_checkpoint_cannot_be_written(
    timed: TimedCheckpointer, caplog: pytest.LogCaptureFixture
):
    (timed.run_dir / "checkpoints").write_text("in the way")
    timed.learn()
    with caplog.at_level(logging.ERROR):
        timed.wait(60)
    assert "training continues" in caplog.text
    assert "can't write checkpoint" in str(timed.checkpointer.error)
    (timed.run_dir / "checkpoints").unlink()
    timed.wait(60)
    assert timed.checkpointer.error is None


def episode_end(total: float, length: int = 10) -> EpisodeEnd:
    return EpisodeEnd(total_reward=total, length=length)


def test_there_is_no_mean_return_before_the_first_episode():
    returns = ReturnTracker()
    assert returns.mean is None
    assert returns.mean_length is None
    assert not returns.complete


def test_the_mean_return_covers_only_the_window():
    returns = ReturnTracker()
    returns.add([episode_end(-1000.0)] * 7)
    returns.add(
        [episode_end(2.0, 4)] * (RETURN_WINDOW // 2) + [episode_end(4.0, 8)] * (RETURN_WINDOW // 2)
    )
    assert returns.complete
    assert (returns.mean, returns.mean_length) == (3.0, 6.0)
