"""Action distributions, checked by hand and against PyTorch's."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence

from metabonk.policy.distributions import (
    LOG_STD_LIMITS,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)

LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 2
SIZES = (3, 2)


def distributions() -> list[Distribution]:
    return [
        Categorical(LOGITS),
        MultiCategorical(LOGITS, SIZES),
        DiagonalGaussian(LOGITS[:, :4]),
    ]


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


@pytest.mark.parametrize("distribution", distributions(), ids=lambda each: type(each).__name__)
def test_a_batch_is_sampled_like_each_row_alone(distribution: Distribution):
    together = distribution.sample(generators(len(LOGITS)))
    alone = [
        part.sample([random])[0]
        for part, random in zip(rows_of(distribution), generators(len(LOGITS)), strict=True)
    ]
    assert np.array_equal(together, np.array(alone))


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def rows_of(distribution: Distribution) -> list[Distribution]:
    rows = [row[None] for row in LOGITS]
    match distribution:
        case Categorical():
            return [Categorical(row) for row in rows]
        case MultiCategorical():
            return [MultiCategorical(row, SIZES) for row in rows]
        case _:
            return [DiagonalGaussian(row[:, :4]) for row in rows]


def test_options_are_sampled_with_their_probabilities():
    row = torch.tensor([[0.2, 0.5, 0.3, 0.9, 0.1]]).log().expand(4000, 5)
    samples = MultiCategorical(row, SIZES).sample([np.random.default_rng(0)] * 4000)
    assert samples.dtype == np.int64
    first = np.bincount(samples[:, 0], minlength=3) / 4000
    second = np.bincount(samples[:, 1], minlength=2) / 4000
    assert first == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert second == pytest.approx([0.9, 0.1], abs=0.03)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.05


def test_continuous_samples_have_the_given_mean_and_deviation():
    row = torch.tensor([[3.0, -1.0, math.log(0.5), math.log(2.0)]]).expand(4000, 4)
    samples = DiagonalGaussian(row).sample([np.random.default_rng(0)] * 4000)
    assert samples.dtype == np.float32
    assert samples.mean(0) == pytest.approx([3, -1], abs=0.1)
    assert samples.std(0) == pytest.approx([0.5, 2], rel=0.05)


@pytest.mark.parametrize("distribution", distributions(), ids=lambda each: type(each).__name__)
def test_no_sample_is_likelier_than_the_mode(distribution: Distribution):
    mode = distribution.log_prob(torch.from_numpy(distribution.mode()))
    random = [np.random.default_rng(0)] * len(LOGITS)
    for _ in range(30):
        samples: Tensor = distribution.log_prob(torch.from_numpy(distribution.sample(random)))
        assert (samples <= mode + 1e-6).all()


def test_an_impossible_option_is_never_sampled_even_at_the_edges():
    distribution = Categorical(torch.tensor([[0.0, -math.inf, 0.0]]))
    assert distribution.at(np.array([0.0])).tolist() == [0]
    assert distribution.at(np.array([0.5])).tolist() == [2]
    assert distribution.at(np.array([1.0])).tolist() == [2]
