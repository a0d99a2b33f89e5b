"""PPO updates."""

import logging

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.errors import PolicyError
from metabonk.games import Transition
from metabonk.learner.gradient_step import GradientStep, Targets
from metabonk.learner.losses import surrogate, value_loss
from metabonk.learner.ppo import Learner
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder, encode_weights
from metabonk.policy.distributions import LOG_STD_LIMITS
from metabonk.policy.network import Output
from metabonk.settings.learning import Learning
from tests.support.plain_ppo import PlainPpo
from tests.support.rollouts import make_rollout
from tests.support.specs import ALL_SPECS, CONTINUOUS, TINY, VECTOR

SETTINGS = Learning(batch_size=32, epochs=1, num_minibatches=2)


def learner(**changes: object) -> Learner:
    return Learner(TINY, SETTINGS.model_copy(update=changes))


def weights_of(learner: Learner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Bandit:
    """Shows a bright or a dark image; each has one right action, and the third is never right."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.bright = False

    def show(self) -> NDArray[np.uint8]:
        self.bright = bool(self._random.integers(2))
        return np.full(TINY.observation_shape, 200 if self.bright else 20, np.uint8)

    def reward(self, action: int) -> float:
        return 100.0 if action == int(self.bright) else -20.0


def play(bandit: Bandit, actor: Actor, rollouts: int) -> tuple[list[Rollout], float]:
    """Play one-step episodes; return the rollouts and the mean reward."""
    builder = RolloutBuilder(TINY, 16)
    collected: list[Rollout] = []
    rewards: list[float] = []
    image = bandit.show()
    while len(collected) < rollouts:
        (decision,) = actor.act([image], [0])
        rewards.append(bandit.reward(decision.action))
        transition = Transition(bandit.show(), rewards[-1], True, False)
        if rollout := builder.add(image, decision, transition):
            collected.append(rollout)
        image = transition.observation
    return collected, float(np.mean(rewards))


def test_non_finite_returns_change_no_weights():
    trained = learner()
    before = [tensor.clone() for tensor in trained.network.state_dict().values()]
    rollout = make_rollout(16)
    rollout.rewards[3] = np.nan
    trained.update([rollout])
    assert trained.counters.skipped == 1
    assert same(before, list(trained.network.state_dict().values()))


@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_the_right_action_for_each_observation_is_learned(advantage: str):
    learner = Learner(
        TINY,
        Learning(
            advantage=advantage,
            batch_size=64,
            num_minibatches=4,
            learning_rate=1e-3,
            entropy_coefficient=0.005,
        ),
        reward_scale=0.01,
    )
    actor, bandit = Actor(TINY, seed=1), Bandit(seed=1)
    rollouts, before = play(bandit, actor, 4)
    for _ in range(12):
        learner.update(rollouts)
        actor.load(encode_weights(learner.network, learner.counters.version))
        rollouts, after = play(bandit, actor, 4)
    assert before == pytest.approx(20, abs=40)
    assert after > 80


def output(learner: Learner, rollout: Rollout) -> Output:
    """Run the network, wherever it is, on a rollout's observations."""
    device = next(learner.network.parameters()).device
    return learner.network(torch.from_numpy(rollout.observations).to(device))


def test_learned_values_are_in_reward_units():
    learner = Learner(TINY, Learning(learning_rate=2e-3, epochs=4, num_minibatches=1))
    rollout = make_rollout(16, rewards=[500.0] * 8 + [100.0] * 8, terminated=tuple(range(16)))
    bright = np.arange(17) < 8
    rollout.observations[:] = np.where(bright, 220, 30)[:, None, None, None]
    for _ in range(20):
        learner.update([rollout])
        rollout.versions[:] = learner.counters.version
    values = output(learner, rollout).values
    denormalized = learner.network.denormalize(values)
    assert denormalized[0].item() == pytest.approx(500, abs=60)
    assert denormalized[12].item() == pytest.approx(100, abs=60)


def test_an_update_increments_its_counters():
    trained = learner()
    update = trained.update([make_rollout(16), make_rollout(16, seed=1)])
    assert update.steps == 32
    assert update.dropped == 0
    assert trained.counters.version == trained.counters.updates == 1
    assert trained.counters.steps_trained == 32
    assert {"policy", "value", "entropy", "kl", "clip_fraction", "grad_norm"} <= set(update.losses)


def test_outdated_steps_are_dropped_and_counted():
    trained = learner(max_policy_lag=2)
    trained.counters.version = 10
    update = trained.update([make_rollout(16, version=3), make_rollout(16, version=9, seed=1)])
    assert (update.steps, update.dropped) == (16, 16)
    assert update.lag == 1
    assert trained.counters.steps_dropped == 16


def test_a_batch_of_outdated_steps_changes_no_weights():
    trained = learner(max_policy_lag=2)
    trained.counters.version = 10
    before = weights_of(trained)
    assert trained.update([make_rollout(16, version=3)]).steps == 0
    assert trained.counters.version == 10
    assert trained.counters.steps_dropped == 16
    assert same(before, weights_of(trained))


def test_the_same_seed_and_rollouts_yield_the_same_weights():
    def trained(seed: int) -> list[torch.Tensor]:
        one = learner(seed=seed)
        for number in range(3):
            one.update([make_rollout(16, seed=number)])
        return weights_of(one)

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


def test_a_non_finite_gradient_never_reaches_the_weights(
    caplog: pytest.LogCaptureFixture,
):
    trained = learner(normalize_returns=False)
    trained.update([make_rollout(16)])
    before = weights_of(trained)
    # Nearly impossible actions are now likely, so the ratio overflows.
    rollout = make_rollout(16, seed=1, version=1)
    rollout.log_probs[:] = -1e30
    with caplog.at_level(logging.WARNING):
        update = trained.update([rollout])
    assert same(before, weights_of(trained))
    assert trained.counters.skipped == 2
    assert "not finite" in caplog.text
    assert "policy" not in update.losses
    trained.update([make_rollout(16, seed=2, version=2)])
    assert not same(before, weights_of(trained))
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(trained))


def test_the_largest_allowed_rewards_keep_all_weights_finite():
    trained = learner()
    rewards = [1e6, -1e6] * 8
    for version in range(3):
        trained.update([make_rollout(16, rewards=rewards, version=version)])
    assert trained.counters.skipped == 0
    assert all(torch.isfinite(tensor).all() for tensor in trained.network.state_dict().values())


def test_an_update_works_with_a_single_step():
    trained = learner()
    assert trained.update([make_rollout(1)]).steps == 1
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(trained))


def test_returns_are_normalized_only_with_gae_and_when_enabled():
    rewards = [50.0] * 16
    normalized, fixed, vtrace = (
        learner(),
        learner(normalize_returns=False, reward_scale=0.5),
        learner(advantage="vtrace"),
    )
    for trained in (normalized, fixed, vtrace):
        trained.update([make_rollout(16, rewards=rewards)])
    assert float(normalized.network.return_mean) > 50
    assert float(fixed.network.return_mean) == 0
    assert float(fixed.network.return_scale) == 2
    assert float(vtrace.network.return_mean) == 0


def test_the_first_reward_after_many_batches_without_any_does_not_drown_the_policy(
    monkeypatch: pytest.MonkeyPatch,
):
    trained = Learner(VECTOR, SETTINGS.model_copy(update={"num_minibatches": 1}))

    def rollouts(version: int, last_reward: float) -> list[Rollout]:
        return [
            make_rollout(
                16,
                spec=VECTOR,
                seed=3 * version + number,
                rewards=[0.0] * 15 + [last_reward if number == 0 else 0.0],
                version=version,
                terminated=(15,),
            )
            for number in range(3)
        ]

    for version in range(60):
        trained.update(rollouts(version, 0.0))
    norms: dict[str, float] = {}
    take = GradientStep.__call__

    def measure(
        self: GradientStep, output: Output, targets: Targets, weights: torch.Tensor
    ) -> torch.Tensor:
        assert float(targets.returns.max()) == pytest.approx(5, rel=1e-3)
        log_probs = VECTOR.distribution(output.parameters).log_prob(targets.actions)
        policy = surrogate(log_probs, targets.behaviour, targets.advantages, clip=0.2).loss
        value = 0.5 * value_loss(output.values, targets.returns, targets.old_values, clip=0.2)
        for name, loss in (("policy", policy.mean()), ("value", value.mean())):
            gradients = torch.autograd.grad(
                loss, list(trained.network.parameters()), retain_graph=True, allow_unused=True
            )
            norms[name] = float(torch.cat([g.flatten() for g in gradients if g is not None]).norm())
        return take(self, output, targets, weights)

    monkeypatch.setattr(GradientStep, "__call__", measure)
    trained.update(rollouts(60, 1.0))
    # Without a bound the value's gradient is 400 times the policy's.
    assert norms["value"] < 20 * norms["policy"]


def test_an_update_brings_deviations_back_within_their_limits():
    trained = Learner(CONTINUOUS, SETTINGS)
    assert trained.network.log_std is not None
    trained.network.log_std.data.fill_(4.0)
    trained.update([make_rollout(16, spec=CONTINUOUS)])
    assert (trained.network.log_std <= LOG_STD_LIMITS[1]).all()


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_every_kind_of_policy_is_updated_and_stays_finite(spec: PolicySpec, advantage: str):
    trained = Learner(spec, SETTINGS.model_copy(update={"advantage": advantage, "epochs": 2}))
    before = weights_of(trained)
    rollouts = [
        make_rollout(16, spec=spec, terminated=(3, 9)),
        make_rollout(7, spec=spec, seed=1, truncated=True),
    ]
    update = trained.update(rollouts)
    assert update.steps == 23
    assert trained.counters.skipped == 0
    assert not same(before, weights_of(trained))
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(trained))


def test_a_kl_penalty_keeps_the_policy_near_the_behaviour_policy():
    def moved(coefficient: float) -> float:
        trained = learner(
            kl_coefficient=coefficient,
            learning_rate=3e-3,
            epochs=10,
            clip_range=0.9,
            entropy_coefficient=0.0,
        )
        rollout = make_rollout(32, rewards=[1.0, -1.0] * 16, terminated=tuple(range(32)))
        trained.update([rollout])
        now = TINY.distribution(output(trained, rollout).parameters).probabilities()
        return (now - 1 / 3).abs().mean().item()

    assert moved(10.0) < moved(0.0) / 2


def test_an_update_stops_early_at_the_target_kl():
    def steps(target: float) -> float:
        trained = learner(
            target_kl=target, learning_rate=3e-3, epochs=10, clip_range=0.9, entropy_coefficient=0.0
        )
        rollout = make_rollout(32, rewards=[1.0, -1.0] * 16, terminated=tuple(range(32)))
        return trained.update([rollout]).losses["gradient_steps"]

    without_target = steps(0.0)
    assert 1 <= steps(0.02) < without_target
    assert steps(10.0) == without_target


def test_both_exploration_losses_raise_the_entropy():
    rollout = make_rollout(16, rewards=[0.0] * 16)
    for exploration in ("entropy", "symmetric_kl"):
        trained = learner(exploration_loss=exploration, entropy_coefficient=1.0, learning_rate=1e-2)
        with torch.no_grad():
            trained.network.policy_head.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))
        rollout.versions[:] = 0
        before = trained.update([rollout]).losses["entropy"]
        for version in range(1, 8):
            rollout.versions[:] = version
            after = trained.update([rollout]).losses["entropy"]
        assert after > before + 0.3, exploration


def test_symmetric_kl_is_rejected_for_continuous_actions():
    with pytest.raises(PolicyError, match=r"symmetric_kl.*gym:Row has continuous.*'entropy'"):
        Learner(CONTINUOUS, SETTINGS.model_copy(update={"exploration_loss": "symmetric_kl"}))


def test_the_learning_rate_follows_its_schedule_and_is_reported():
    trained = learner(learning_rate=1e-3, lr_final=0.0, lr_decay_steps=64)
    rates = [
        trained.update([make_rollout(16, seed=number, version=number)]).losses["learning_rate"]
        for number in range(6)
    ]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0, 0])
    # Only the value head still changes: it is rescaled with the statistics of returns.
    settled = trained.network.policy_head.weight.detach().clone()
    trained.update([make_rollout(16, seed=7, version=6)])
    assert torch.equal(settled, trained.network.policy_head.weight)


def test_statistics_of_vector_observations_are_updated():
    trained = Learner(VECTOR, SETTINGS)
    rollout = make_rollout(16, spec=VECTOR)
    rollout.observations[:] += 50
    trained.update([rollout])
    assert int(trained.network.observation_count) == 17
    assert trained.network.observation_mean.mean().item() == pytest.approx(50, abs=1)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.game}-{spec.action_kind}")
def test_a_single_gradient_step_encodes_each_observation_once_with_the_same_result(
    spec: PolicySpec, monkeypatch: pytest.MonkeyPatch
):
    rollouts = [make_rollout(8, spec=spec, seed=seed, terminated=(3,)) for seed in range(4)]
    settings = Learning(batch_size=32, epochs=1, num_minibatches=1)
    one, other = Learner(spec, settings), Learner(spec, settings)
    encoded = []
    encode = one.network.encode

    def counting_encode(observations: torch.Tensor) -> torch.Tensor:
        encoded.append(len(observations))
        return encode(observations)

    monkeypatch.setattr(one.network, "encode", counting_encode)
    losses = one.update(rollouts).losses
    steps = Learner._steps
    monkeypatch.setattr(
        Learner, "_steps", lambda self, batch, targets, _: steps(self, batch, targets, None)
    )
    expected = other.update(rollouts).losses
    assert sum(encoded) == 4 * 9, "every observation is encoded once"
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for mine, theirs in zip(one.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
def test_updates_equal_those_of_a_plain_implementation(spec: PolicySpec):
    settings = Learning(
        batch_size=32, epochs=2, num_minibatches=3, learning_rate=1e-3, kl_coefficient=0.1
    )
    trained = Learner(spec, settings, device=torch.device("cpu"))
    plain = PlainPpo(spec, settings)
    for version in range(3):
        rollouts = [
            make_rollout(9, spec=spec, seed=3 * version, version=version, terminated=(3, 7)),
            make_rollout(5, spec=spec, seed=3 * version + 1, version=version, truncated=True),
            make_rollout(9, spec=spec, seed=3 * version + 2, version=version, terminated=(8,)),
        ]
        losses, expected = trained.update(rollouts).losses, plain.update(rollouts)
        assert {name: losses[name] for name in expected} == pytest.approx(
            expected, rel=1e-3, abs=1e-5
        )
    for mine, theirs in zip(weights_of(trained), plain.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-3, atol=1e-5)
