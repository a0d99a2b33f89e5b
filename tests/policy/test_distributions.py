"""Action distributions, checked by hand and against PyTorch's."""

import math

import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence

from metabonk.policy.distributions import (
    LOG_STD_LIMITS,
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
)

LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 2
SIZES = (3, 2)


def test_categorical_agrees_with_pytorch():
    ours, theirs = Categorical(LOGITS), TorchCategorical(logits=LOGITS)
    actions = torch.arange(6) % 5
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.probabilities(), theirs.probs)


def test_multi_categorical_is_the_sum_of_its_parts():
    ours = MultiCategorical(LOGITS, SIZES)
    first, second = TorchCategorical(logits=LOGITS[:, :3]), TorchCategorical(logits=LOGITS[:, 3:])
    actions = torch.stack([torch.arange(6) % 3, torch.arange(6) % 2], 1)
    expected = first.log_prob(actions[:, 0]) + second.log_prob(actions[:, 1])
    torch.testing.assert_close(ours.log_prob(actions), expected)
    torch.testing.assert_close(ours.entropy(), first.entropy() + second.entropy())
    torch.testing.assert_close(ours.probabilities(), torch.cat([first.probs, second.probs], 1))


def test_diagonal_gaussian_agrees_with_pytorch():
    parameters = LOGITS[:, :4].clamp(-1, 1)
    ours = DiagonalGaussian(parameters)
    theirs = Independent(Normal(parameters[:, :2], parameters[:, 2:].exp()), 1)
    actions = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert ours.probabilities().shape == (6, 0)


def test_the_standard_deviation_is_clamped():
    narrow, wide = (DiagonalGaussian(torch.tensor([[0.0, s]])) for s in (-100.0, 100.0))
    constant = 0.5 * math.log(2 * math.pi * math.e)
    assert narrow.entropy().item() == pytest.approx(LOG_STD_LIMITS[0] + constant)
    assert wide.entropy().item() == pytest.approx(LOG_STD_LIMITS[1] + constant)


def test_symmetric_kl_is_the_mean_of_both_directions():
    policy = TorchCategorical(logits=LOGITS)
    uniform = TorchCategorical(logits=torch.zeros_like(LOGITS))
    expected = 0.5 * (kl_divergence(policy, uniform) + kl_divergence(uniform, policy))
    torch.testing.assert_close(Categorical(LOGITS).symmetric_kl(), expected)
    parts = [Categorical(part).symmetric_kl() for part in torch.split(LOGITS, SIZES, 1)]
    torch.testing.assert_close(MultiCategorical(LOGITS, SIZES).symmetric_kl(), sum(parts))
    assert Categorical(torch.zeros(1, 4)).symmetric_kl().item() == pytest.approx(0, abs=1e-6)


def test_symmetric_kl_keeps_growing_for_an_abandoned_option_while_entropy_saturates():
    def abandoned(logit: float) -> Categorical:
        return Categorical(torch.tensor([[0.0, 0.0, -logit]]))

    near, far = abandoned(20), abandoned(200)
    assert (near.entropy() - far.entropy()).abs().item() < 1e-6
    assert far.symmetric_kl().item() > near.symmetric_kl().item() + 25
