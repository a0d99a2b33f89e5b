"""Losses, advantage estimates and learning rates, checked by hand and against TorchRL."""

import importlib
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from metabonk.learner.losses import gae, learning_rate, surrogate, value_loss, vtrace
from metabonk.settings.learning import Learning


def logs(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities).log()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -1.25 * 2.0),  # Clipped above at 1.25.
        (0.5, -2.0, 0.8 * 2.0),  # Clipped below at 1/1.25.
        (0.5, 2.0, -0.5 * 2.0),  # Moving back is not clipped.
        (1.5, -2.0, 1.5 * 2.0),
    ],
)
def test_the_surrogate_is_clipped_beyond_the_clip_range(
    ratio: float, advantage: float, loss: float
):
    result = surrogate(logs(0.4 * ratio), logs(0.4), torch.tensor([advantage]), clip=0.25)
    assert result.loss.item() == pytest.approx(loss)


def test_the_surrogate_says_which_steps_are_clipped():
    result = surrogate(
        logs(0.5, 0.1, 0.2), logs(0.5, 0.5, 0.2), torch.tensor([1.0, 1.0, 4.0]), clip=0.1
    )
    assert result.loss.tolist() == pytest.approx([-1, -0.2, -4])
    assert result.clipped.tolist() == [0, 1, 0]


def test_a_clipped_step_has_no_gradient():
    now = logs(0.9).requires_grad_()
    surrogate(now, logs(0.5), torch.tensor([1.0]), clip=0.1).loss.backward()
    assert now.grad is not None
    assert now.grad.item() == 0


def test_kl_is_zero_only_for_the_same_policy():
    assert surrogate(logs(0.3), logs(0.3), torch.tensor([1.0]), clip=0.1).kl.item() == 0
    moved = surrogate(logs(0.6), logs(0.3), torch.tensor([1.0]), clip=0.1).kl.item()
    assert moved == pytest.approx(2 - 1 - math.log(2))


def test_the_value_loss_is_half_the_squared_error():
    loss = value_loss(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 5.0]), torch.zeros(2), clip=0)
    assert loss.tolist() == pytest.approx([0.5 * 4, 0])


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (0.05, 0.5 * (1 - 0.05) ** 2),  # Near the old value: not clipped.
        (0.9, 0.5 * (1 - 0.1) ** 2),  # Far: as if at the edge of the clip range.
        (-2.0, 0.5 * 3.0**2),  # In the wrong direction: not clipped.
    ],
)
def test_the_value_loss_does_not_reward_moving_beyond_the_clip_range(value: float, loss: float):
    result = value_loss(torch.tensor([value]), torch.ones(1), torch.zeros(1), clip=0.1)
    assert result.item() == pytest.approx(loss)


GAMMA, LAM = 0.9, 0.5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Tolerances for TorchRL, which keeps discounts in single precision."""


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def flags(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_gae_bootstraps_from_the_value_after_the_rollout():
    estimate = gae(
        column(1, 2),
        column(10, 20),
        column(20, 30),
        flags(0, 0),
        flags(0, 1),
        gamma=GAMMA,
        lam=LAM,
    )
    second = 2 + 0.9 * 30 - 20  # 9
    first = (1 + 0.9 * 20 - 10) + 0.9 * 0.5 * second  # 9 + 4.05
    assert estimate.advantages.tolist() == pytest.approx([first, second])
    assert estimate.returns.tolist() == pytest.approx([first + 10, second + 20])


def test_a_termination_does_not_bootstrap():
    estimate = gae(
        column(1, 2),
        column(10, 20),
        column(1e6, 30),
        flags(1, 0),
        flags(1, 1),
        gamma=GAMMA,
        lam=LAM,
    )
    assert estimate.advantages.tolist() == pytest.approx([1 - 10, 9])


def test_a_truncation_bootstraps_only_from_its_own_last_state():
    estimate = gae(
        column(1, 1e6),
        column(10, 20),
        column(15, 30),
        flags(0, 0),
        flags(1, 1),
        gamma=GAMMA,
        lam=LAM,
    )
    assert estimate.advantages[0].item() == pytest.approx(1 + 0.9 * 15 - 10)


def random_trajectory(steps: int, columns: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    kind = torch.randint(0, 5, (steps, columns), generator=generator)
    done = kind <= 1
    done[-1] = True
    return {
        "rewards": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "values": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "next_values": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "terminated": kind == 0,
        "done": done,
    }


def last_of_segment(done: Tensor, step: int, column: int) -> int:
    while not done[step, column]:
        step += 1
    return step


def test_gae_equals_the_discounted_sum_of_deltas():
    t = random_trajectory(9, 4)
    estimate = gae(**t, gamma=GAMMA, lam=LAM)
    deltas = t["rewards"] + GAMMA * t["next_values"] * ~t["terminated"] - t["values"]
    for step in range(9):
        for c in range(4):
            last = last_of_segment(t["done"], step, c)
            expected = sum(
                (GAMMA * LAM) ** (k - step) * deltas[k, c].item() for k in range(step, last + 1)
            )
            assert estimate.advantages[step, c].item() == pytest.approx(expected)


def test_gae_with_lambda_1_equals_the_return_minus_the_value():
    estimate = gae(
        column(1, 2, 4),
        column(5, 6, 7),
        column(6, 7, 100),
        flags(0, 0, 1),
        flags(0, 0, 1),
        gamma=0.5,
        lam=1.0,
    )
    assert estimate.returns.tolist() == pytest.approx([1 + 1 + 1, 2 + 2, 4])


def test_vtrace_equals_the_sum_in_its_definition():
    """Check against equation 1 of Espeholt et al. 2018, term by term."""
    t = random_trajectory(8, 3)
    # Within a trajectory, the next value is the value of the next step.
    t["next_values"][:-1] = torch.where(t["done"][:-1], t["next_values"][:-1], t["values"][1:])
    log_ratios = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    estimate = vtrace(**t, log_ratios=log_ratios, gamma=GAMMA, lam=1.0)
    clipped = log_ratios.exp().clamp(max=1.0)

    def target(step: int, c: int) -> float:
        total = t["values"][step, c].item()
        weight = 1.0
        for k in range(step, last_of_segment(t["done"], step, c) + 1):
            future = 0.0 if t["terminated"][k, c] else GAMMA * t["next_values"][k, c].item()
            delta = clipped[k, c].item() * (
                t["rewards"][k, c].item() + future - t["values"][k, c].item()
            )
            total += GAMMA ** (k - step) * weight * delta
            weight *= clipped[k, c].item()
        return total

    for step in range(8):
        for c in range(3):
            assert estimate.returns[step, c].item() == pytest.approx(target(step, c))
            if t["terminated"][step, c]:
                future = 0.0
            elif t["done"][step, c]:
                future = t["next_values"][step, c].item()
            else:
                future = target(step + 1, c)
            assert estimate.advantages[step, c].item() == pytest.approx(
                t["rewards"][step, c].item() + GAMMA * future - t["values"][step, c].item()
            )


def test_on_policy_vtrace_equals_gae():
    t = random_trajectory(12, 3)
    t["next_values"][:-1] = torch.where(t["done"][:-1], t["next_values"][:-1], t["values"][1:])
    expected = gae(**t, gamma=GAMMA, lam=LAM).returns
    same = vtrace(**t, log_ratios=torch.zeros(12, 3).double(), gamma=GAMMA, lam=LAM)
    torch.testing.assert_close(same.returns, expected)


def test_vtrace_ignores_an_action_that_the_policy_no_longer_takes():
    estimate = vtrace(
        column(100.0),
        column(3.0),
        column(50.0),
        flags(0),
        flags(1),
        column(-math.inf),
        gamma=GAMMA,
    )
    assert estimate.returns.tolist() == [3.0]


@pytest.fixture(scope="module")
def torchrl() -> ModuleType:
    """Return TorchRL's estimators; imported lazily because that takes seconds."""
    return importlib.import_module("torchrl.objectives.value.functional")


def in_torchrl(t: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of shape rollouts × steps × 1 under TorchRL's names."""
    names = {
        "rewards": "reward",
        "values": "state_value",
        "next_values": "next_state_value",
        "terminated": "terminated",
        "done": "done",
    }
    return {theirs: t[ours].T[..., None] for ours, theirs in names.items()}


@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (0.9, 0.0), (0.5, 1.0)])
def test_gae_agrees_with_torchrl(torchrl: ModuleType, gamma: float, lam: float):
    t = random_trajectory(40, 8)
    ours = gae(**t, gamma=gamma, lam=lam)
    theirs = torchrl.generalized_advantage_estimate(gamma=gamma, lmbda=lam, **in_torchrl(t))
    torch.testing.assert_close(ours.advantages, theirs[0].squeeze(-1).T, **CLOSE)
    torch.testing.assert_close(ours.returns, theirs[1].squeeze(-1).T, **CLOSE)


@pytest.mark.parametrize(("rho", "c"), [(1.0, 1.0), (2.0, 0.5)])
def test_vtrace_agrees_with_torchrl(torchrl: ModuleType, rho: float, c: float):
    t = random_trajectory(40, 8)
    generator = torch.Generator().manual_seed(2)
    now, behaviour = (-torch.rand(40, 8, generator=generator).double() * 3 for _ in range(2))
    ours = vtrace(**t, log_ratios=now - behaviour, gamma=GAMMA, lam=1.0, rho_limit=rho, c_limit=c)
    # TorchRL's docstring swaps the two: the ratio is π / μ, and μ is the behaviour policy.
    advantages, returns = torchrl.vtrace_advantage_estimate(
        gamma=GAMMA,
        log_pi=now.T[..., None],
        log_mu=behaviour.T[..., None],
        rho_thresh=rho,
        c_thresh=c,
        **in_torchrl(t),
    )
    torch.testing.assert_close(ours.returns, returns.squeeze(-1).T, **CLOSE)
    # TorchRL's advantage includes ρ; here the surrogate applies it.
    weighted = (now - behaviour).exp().clamp(max=rho) * ours.advantages
    torch.testing.assert_close(weighted, advantages.squeeze(-1).T, **CLOSE)


def test_vtrace_matches_a_hand_computed_example():
    """Use two steps: the first now twice as likely, the second half as likely."""
    estimate = vtrace(
        column(1, 2),
        column(10, 20),
        column(20, 30),
        flags(0, 0),
        flags(0, 1),
        column(math.log(2.0), math.log(0.5)),
        gamma=GAMMA,
    )
    second = 0.5 * (2 + 0.9 * 30 - 20)  # 4.5
    first = 1.0 * (1 + 0.9 * 20 - 10) + 0.9 * 1.0 * second  # 9 + 4.05
    assert estimate.returns.tolist() == pytest.approx([10 + first, 20 + second])
    assert estimate.advantages.tolist() == pytest.approx(
        [1 + 0.9 * (20 + second) - 10, 2 + 0.9 * 30 - 20]
    )


def test_the_learning_rate_is_constant_without_a_schedule():
    settings = Learning(learning_rate=1e-3, lr_final=1e-5)
    assert learning_rate(settings, 0) == learning_rate(settings, 10**9) == 1e-3


@pytest.mark.parametrize(
    ("steps", "expected"), [(0, 1e-3), (250, 7.75e-4), (1000, 1e-4), (5000, 1e-4)]
)
def test_the_learning_rate_decays_linearly_to_its_final_value(steps: int, expected: float):
    settings = Learning(learning_rate=1e-3, lr_final=1e-4, lr_decay_steps=1000)
    assert learning_rate(settings, steps) == pytest.approx(expected)


def test_the_learning_rate_may_also_increase():
    settings = Learning(learning_rate=1e-4, lr_final=1e-3, lr_decay_steps=10)
    assert learning_rate(settings, 5) == pytest.approx(5.5e-4)
