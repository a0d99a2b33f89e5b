"""GAE and V-trace against worked examples and their definitions."""

import importlib
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from metabonk.learner.advantages import gae, vtrace

GAMMA, LAM = 0.9, 0.5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""TorchRL keeps its discounts in single precision."""


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def flags(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_gae_by_hand_with_a_value_after_the_rollout():
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


def test_a_termination_bootstraps_nothing():
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


def test_a_truncation_bootstraps_the_last_state_and_takes_nothing_from_what_follows():
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
    ends = kind <= 1
    ends[-1] = True
    return {
        "rewards": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "values": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "next_values": torch.randn(steps, columns, generator=generator, dtype=torch.float64),
        "terminated": kind == 0,
        "ends": ends,
    }


def last_of_segment(ends: Tensor, step: int, column: int) -> int:
    while not ends[step, column]:
        step += 1
    return step


def test_gae_is_the_discounted_sum_of_deltas():
    t = random_trajectory(9, 4)
    estimate = gae(**t, gamma=GAMMA, lam=LAM)
    deltas = t["rewards"] + GAMMA * t["next_values"] * ~t["terminated"] - t["values"]
    for step in range(9):
        for c in range(4):
            last = last_of_segment(t["ends"], step, c)
            expected = sum(
                (GAMMA * LAM) ** (k - step) * deltas[k, c].item() for k in range(step, last + 1)
            )
            assert estimate.advantages[step, c].item() == pytest.approx(expected)


def test_gae_with_lambda_1_is_the_return_minus_the_value():
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


def test_vtrace_is_the_sum_of_its_definition():
    """Equation 1 of Espeholt et al. 2018, term by term."""
    t = random_trajectory(8, 3)
    # Values along a trajectory agree with those of the states that follow.
    t["next_values"][:-1] = torch.where(t["ends"][:-1], t["next_values"][:-1], t["values"][1:])
    log_ratios = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    estimate = vtrace(**t, log_ratios=log_ratios, gamma=GAMMA, lam=1.0)
    clipped = log_ratios.exp().clamp(max=1.0)

    def target(step: int, c: int) -> float:
        total = t["values"][step, c].item()
        weight = 1.0
        for k in range(step, last_of_segment(t["ends"], step, c) + 1):
            follows = 0.0 if t["terminated"][k, c] else GAMMA * t["next_values"][k, c].item()
            delta = clipped[k, c].item() * (
                t["rewards"][k, c].item() + follows - t["values"][k, c].item()
            )
            total += GAMMA ** (k - step) * weight * delta
            weight *= clipped[k, c].item()
        return total

    for step in range(8):
        for c in range(3):
            assert estimate.returns[step, c].item() == pytest.approx(target(step, c))
            if t["terminated"][step, c]:
                follows = 0.0
            elif t["ends"][step, c]:
                follows = t["next_values"][step, c].item()
            else:
                follows = target(step + 1, c)
            assert estimate.advantages[step, c].item() == pytest.approx(
                t["rewards"][step, c].item() + GAMMA * follows - t["values"][step, c].item()
            )


def test_on_policy_vtrace_has_the_returns_of_gae():
    t = random_trajectory(12, 3)
    t["next_values"][:-1] = torch.where(t["ends"][:-1], t["next_values"][:-1], t["values"][1:])
    expected = gae(**t, gamma=GAMMA, lam=LAM).returns
    same = vtrace(**t, log_ratios=torch.zeros(12, 3).double(), gamma=GAMMA, lam=LAM)
    torch.testing.assert_close(same.returns, expected)


def test_an_action_that_is_never_taken_now_teaches_vtrace_nothing():
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
    """The same estimates by other hands; its import takes seconds, so only these tests pay."""
    return importlib.import_module("torchrl.objectives.value.functional")


def in_torchrl(t: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rollouts by time by one feature, under the names that TorchRL has for them."""
    names = {
        "rewards": "reward",
        "values": "state_value",
        "next_values": "next_state_value",
        "terminated": "terminated",
        "ends": "done",
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
    # Its docstring has the two swapped: the ratio is π / μ, and μ is who acted.
    advantages, returns = torchrl.vtrace_advantage_estimate(
        gamma=GAMMA,
        log_pi=now.T[..., None],
        log_mu=behaviour.T[..., None],
        rho_thresh=rho,
        c_thresh=c,
        **in_torchrl(t),
    )
    torch.testing.assert_close(ours.returns, returns.squeeze(-1).T, **CLOSE)
    # Its advantage carries ρ; here the surrogate does.
    weighted = (now - behaviour).exp().clamp(max=rho) * ours.advantages
    torch.testing.assert_close(weighted, advantages.squeeze(-1).T, **CLOSE)


def test_vtrace_by_hand():
    """Two steps; the second is taken half as often now, the first twice as often."""
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
