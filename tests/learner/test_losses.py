"""The terms of the loss, by hand."""

import math

import pytest
import torch
from torch import Tensor

from metabonk.learner.losses import surrogate, value_loss


def logs(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities).log()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -1.25 * 2.0),  # No reward for going further up.
        (0.5, -2.0, 0.8 * 2.0),  # Nor further down: 1/1.25.
        (0.5, 2.0, -0.5 * 2.0),  # The way back is open.
        (1.5, -2.0, 1.5 * 2.0),
    ],
)
def test_the_surrogate_is_clipped_where_it_would_reward_going_too_far(
    ratio: float, advantage: float, loss: float
):
    result = surrogate(logs(0.4 * ratio), logs(0.4), torch.tensor([advantage]), clip=0.25)
    assert result.loss.item() == pytest.approx(loss)


def test_the_surrogate_is_a_mean_and_counts_what_was_clipped():
    result = surrogate(
        logs(0.5, 0.1, 0.2), logs(0.5, 0.5, 0.2), torch.tensor([1.0, 1.0, 4.0]), clip=0.1
    )
    assert result.loss.item() == pytest.approx(-(1 + 0.2 + 4) / 3)
    assert result.clip_fraction.item() == pytest.approx(1 / 3)


def test_a_clipped_step_has_no_gradient():
    now = logs(0.9).requires_grad_()
    surrogate(now, logs(0.5), torch.tensor([1.0]), clip=0.1).loss.backward()
    assert now.grad is not None
    assert now.grad.item() == 0


def test_kl_is_zero_for_the_same_policy_and_else_above():
    assert surrogate(logs(0.3), logs(0.3), torch.tensor([1.0]), clip=0.1).kl.item() == 0
    moved = surrogate(logs(0.6), logs(0.3), torch.tensor([1.0]), clip=0.1).kl.item()
    assert moved == pytest.approx(2 - 1 - math.log(2))


def test_the_value_loss_is_half_the_squared_error():
    loss = value_loss(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 5.0]), torch.zeros(2), clip=0)
    assert loss.item() == pytest.approx(0.5 * (4 + 0) / 2)


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (0.05, 0.5 * (1 - 0.05) ** 2),  # Near the old value: as without a clip.
        (0.9, 0.5 * (1 - 0.1) ** 2),  # Far: no better than the farthest allowed.
        (-2.0, 0.5 * 3.0**2),  # Wrong: as bad as it is.
    ],
)
def test_a_clipped_value_is_not_rewarded_for_going_far(value: float, loss: float):
    result = value_loss(torch.tensor([value]), torch.ones(1), torch.zeros(1), clip=0.1)
    assert result.item() == pytest.approx(loss)
