"""Updates on a real GPU: as on the CPU, from one recorded gradient step and without waiting."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metabonk.learner.checkpoint import restore_newest, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.policy import PolicySpec, Rollout, encode_weights
from metabonk.settings.learning import Learning
from tests.support.rollouts import make_rollout
from tests.support.specs import ALL_SPECS, RECURRENT, TINY, VECTOR

SETTINGS = Learning(
    batch_size=32, rollout_steps=16, epochs=2, num_minibatches=3, learning_rate=1e-3
)
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("exact")


def learners(spec: PolicySpec, device: torch.device, **changes: Any) -> tuple[Learner, Learner]:
    """Return the same learner on the CPU and on the device."""
    settings = SETTINGS.model_copy(update=changes)
    return Learner(spec, settings, device=CPU), Learner(spec, settings, device=device)


def weights_of(learner: Learner) -> list[Tensor]:
    return [tensor.detach().cpu().clone() for tensor in learner.network.state_dict().values()]


def assert_alike(one: Learner, other: Learner) -> None:
    """Check that weights and normalizers differ by little of what Adam can change in an update."""
    torch.testing.assert_close(weights_of(one), weights_of(other), rtol=1e-2, atol=2e-4)


def batches(spec: PolicySpec) -> Iterator[list[Rollout]]:
    """Yield batches of 32, 21, 47 and 96 steps: full, truncated, too old in part, too large."""
    sizes = ((16, 16), (16, 5), (16, 16, 15), (48, 48))
    for version, lengths in enumerate(sizes):
        rollouts = [
            make_rollout(
                length,
                spec=spec,
                seed=10 * version + number,
                version=version,
                terminated=(3, 4),
                truncated=length < 16,
            )
            for number, length in enumerate(lengths)
        ]
        if version == 2:
            rollouts[0].versions[:5] = 99
        yield rollouts


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_updates_equal_those_on_the_cpu(cuda: torch.device, spec: PolicySpec, advantage: str):
    on_cpu, on_gpu = learners(spec, cuda, advantage=advantage, kl_coefficient=0.1)
    for rollouts in batches(spec):
        expected, update = on_cpu.update(rollouts), on_gpu.update(rollouts)
        assert (update.steps, update.dropped) == (expected.steps, expected.dropped)
        assert update.losses == pytest.approx(expected.losses, rel=1e-2, abs=1e-3)
    assert_alike(on_cpu, on_gpu)
    assert on_gpu.counters == on_cpu.counters


@pytest.mark.parametrize("spec", [TINY, VECTOR, RECURRENT], ids=["image", "vector", "recurrent"])
def test_an_update_of_one_step_equals_that_on_the_cpu(cuda: torch.device, spec: PolicySpec):
    on_cpu, on_gpu = learners(spec, cuda, epochs=1, num_minibatches=1)
    for rollouts in batches(spec):
        expected, update = on_cpu.update(rollouts), on_gpu.update(rollouts)
        assert update.losses == pytest.approx(expected.losses, rel=1e-2, abs=1e-3)
    assert_alike(on_cpu, on_gpu)


def test_the_learning_rate_follows_its_schedule(cuda: torch.device):
    on_cpu, on_gpu = learners(TINY, cuda, lr_decay_steps=64)
    for rollouts in batches(TINY):
        assert on_gpu.update(rollouts).losses["learning_rate"] == pytest.approx(
            on_cpu.update(rollouts).losses["learning_rate"]
        )
    assert_alike(on_cpu, on_gpu)


@pytest.mark.parametrize(("spec", "taken"), [(TINY, 6), (RECURRENT, 4)])
def test_recording_is_no_gradient_step(cuda: torch.device, spec: PolicySpec, taken: int):
    learner = Learner(spec, SETTINGS, device=cuda)
    for version in range(2):
        rollouts = [make_rollout(16, spec=spec, seed=seed, version=version) for seed in (0, 1)]
        assert learner.update(rollouts).losses["gradient_steps"] == taken
    steps = {float(state["step"]) for state in learner.optimizer.state.values()}
    assert steps == {2 * taken}


def test_a_recorded_step_of_a_recurrent_policy_learns_from_rollouts_of_other_shapes(
    cuda: torch.device,
):
    on_cpu, on_gpu = learners(RECURRENT, cuda, num_minibatches=2)
    shapes = ((16, 16, 16, 16), (16, 16), (3, 16, 9), (1, 2), (16,) * 7, (40, 16), (5, 5, 5))
    for version, lengths in enumerate(shapes):
        rollouts = [
            make_rollout(
                length, spec=RECURRENT, seed=length + seed, version=version, terminated=(0, 7)
            )
            for seed, length in enumerate(lengths)
        ]
        expected, update = on_cpu.update(rollouts), on_gpu.update(rollouts)
        assert update.losses == pytest.approx(expected.losses, rel=1e-2, abs=1e-3)
    assert_alike(on_cpu, on_gpu)


@pytest.mark.parametrize("spec", [TINY, RECURRENT], ids=["feed-forward", "recurrent"])
def test_non_finite_returns_change_nothing(cuda: torch.device, spec: PolicySpec):
    learner = Learner(spec, SETTINGS, device=cuda)
    learner.update([make_rollout(16, spec=spec)])
    before = encode_weights(learner.network, 0)
    rollout = make_rollout(16, spec=spec, version=1)
    rollout.observations[:] = 0
    rollout.rewards[3] = np.nan
    learner.update([rollout])
    assert learner.counters.skipped == 1
    if spec is TINY:  # Statistics of vectors have seen these observations.
        assert encode_weights(learner.network, 0) == before


@pytest.mark.parametrize("spec", [TINY, RECURRENT], ids=["feed-forward", "recurrent"])
@pytest.mark.parametrize("first", [True, False], ids=["while recording", "later"])
def test_a_non_finite_gradient_never_reaches_the_weights(
    cuda: torch.device, spec: PolicySpec, first: bool, caplog: pytest.LogCaptureFixture
):
    learner = Learner(spec, SETTINGS.model_copy(update={"normalize_returns": False}), device=cuda)
    if not first:
        learner.update([make_rollout(16, spec=spec), make_rollout(16, spec=spec, seed=1)])

    def parameters() -> list[Tensor]:
        return [each.detach().clone() for each in learner.network.parameters()]

    def rollouts(seed: int) -> list[Rollout]:
        version = learner.counters.version
        return [
            make_rollout(16, spec=spec, seed=seed + number, version=version) for number in (0, 1)
        ]

    before, impossible = parameters(), rollouts(2)
    for rollout in impossible:
        rollout.log_probs[:] = -1e30
    with caplog.at_level(logging.WARNING):
        update = learner.update(impossible)
    assert all(map(torch.equal, before, parameters()))
    assert learner.counters.skipped == (4 if spec is RECURRENT else 6)
    assert "not finite" in caplog.text
    assert "policy" not in update.losses
    update = learner.update(rollouts(4))
    assert update.losses["gradient_steps"] == (4 if spec is RECURRENT else 6)
    assert not any(map(torch.equal, before, parameters()))
    assert all(torch.isfinite(each).all() for each in parameters())


@pytest.mark.parametrize("spec", [TINY, RECURRENT], ids=["feed-forward", "recurrent"])
def test_an_update_stops_at_the_target_kl_after_as_many_steps_as_on_the_cpu(
    cuda: torch.device, spec: PolicySpec
):
    on_cpu, on_gpu = learners(
        spec, cuda, target_kl=0.01, epochs=10, learning_rate=3e-3, clip_range=0.9
    )
    taken = 0.0
    for version in range(2):
        rollouts = [
            make_rollout(16, spec=spec, seed=seed, version=version, rewards=[1.0, -1.0] * 8)
            for seed in range(3)
        ]
        expected, update = on_cpu.update(rollouts), on_gpu.update(rollouts)
        assert update.losses["gradient_steps"] == expected.losses["gradient_steps"]
        taken += update.losses["gradient_steps"]
    assert taken < 60, "an update of 30 steps stops early"
    assert_alike(on_cpu, on_gpu)


@pytest.mark.parametrize("spec", [TINY, RECURRENT], ids=["feed-forward", "recurrent"])
def test_checkpoints_pass_between_cpu_and_gpu(cuda: torch.device, spec: PolicySpec, tmp_path: Path):
    for number, (first, second) in enumerate((learners(spec, cuda), learners(spec, cuda)[::-1])):
        both = first, second
        rollouts = [*batches(spec)]
        first.update(rollouts[0])
        second.update(rollouts[3])  # It has recorded a step, with other moments.
        save_checkpoint(first, tmp_path / str(number))
        restore_newest(second, tmp_path / str(number))
        for learner in both:
            learner.update(rollouts[1])
            learner.update(rollouts[2])
        assert_alike(first, second)
        assert first.counters == second.counters


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
def test_no_gradient_step_waits_for_the_gpu(
    cuda: torch.device, spec: PolicySpec, monkeypatch: pytest.MonkeyPatch
):
    learner, steps = Learner(spec, SETTINGS, device=cuda), Learner._steps
    learner.update([make_rollout(16, spec=spec), make_rollout(16, spec=spec, seed=1)])

    def strict_steps(*arguments: Any) -> Iterator[Tensor]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield from steps(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Learner, "_steps", strict_steps)
    update = learner.update([make_rollout(16, spec=spec, version=1, terminated=(2, 9))] * 2)
    assert update.losses["gradient_steps"] >= 4
