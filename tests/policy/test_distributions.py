"""Distributions over actions, by hand and beside PyTorch's own."""

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


def kinds() -> list[Distribution]:
    return [
        Categorical(LOGITS),
        MultiCategorical(LOGITS, SIZES),
        DiagonalGaussian(LOGITS[:, :4]),
    ]


def test_one_choice_has_the_figures_of_pytorch():
    ours, theirs = Categorical(LOGITS), TorchCategorical(logits=LOGITS)
    actions = torch.arange(6) % 5
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.probabilities(), theirs.probs)


def test_several_choices_add_up():
    ours = MultiCategorical(LOGITS, SIZES)
    first, second = TorchCategorical(logits=LOGITS[:, :3]), TorchCategorical(logits=LOGITS[:, 3:])
    actions = torch.stack([torch.arange(6) % 3, torch.arange(6) % 2], 1)
    expected = first.log_prob(actions[:, 0]) + second.log_prob(actions[:, 1])
    torch.testing.assert_close(ours.log_prob(actions), expected)
    torch.testing.assert_close(ours.entropy(), first.entropy() + second.entropy())
    torch.testing.assert_close(ours.probabilities(), torch.cat([first.probs, second.probs], 1))


def test_axes_have_the_figures_of_pytorch():
    parameters = LOGITS[:, :4].clamp(-1, 1)
    ours = DiagonalGaussian(parameters)
    theirs = Independent(Normal(parameters[:, :2], parameters[:, 2:].exp()), 1)
    actions = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert ours.probabilities().shape == (6, 0)


def test_a_deviation_stays_within_its_limits():
    narrow, wide = (DiagonalGaussian(torch.tensor([[0.0, s]])) for s in (-100.0, 100.0))
    constant = 0.5 * math.log(2 * math.pi * math.e)
    assert narrow.entropy().item() == pytest.approx(LOG_STD_LIMITS[0] + constant)
    assert wide.entropy().item() == pytest.approx(LOG_STD_LIMITS[1] + constant)


def test_the_symmetric_divergence_is_half_of_both():
    policy = TorchCategorical(logits=LOGITS)
    uniform = TorchCategorical(logits=torch.zeros_like(LOGITS))
    expected = 0.5 * (kl_divergence(policy, uniform) + kl_divergence(uniform, policy))
    torch.testing.assert_close(Categorical(LOGITS).symmetric_kl(), expected)
    parts = [Categorical(part).symmetric_kl() for part in torch.split(LOGITS, SIZES, 1)]
    torch.testing.assert_close(MultiCategorical(LOGITS, SIZES).symmetric_kl(), sum(parts))
    assert Categorical(torch.zeros(1, 4)).symmetric_kl().item() == pytest.approx(0, abs=1e-6)


def test_a_given_up_option_costs_divergence_without_bound_while_entropy_levels_off():
    def given_up(logit: float) -> Categorical:
        return Categorical(torch.tensor([[0.0, 0.0, -logit]]))

    near, far = given_up(20), given_up(200)
    assert (near.entropy() - far.entropy()).abs().item() < 1e-6
    assert far.symmetric_kl().item() > near.symmetric_kl().item() + 25


@pytest.mark.parametrize("distribution", kinds(), ids=lambda each: type(each).__name__)
def test_each_draws_what_it_would_draw_alone(distribution: Distribution):
    together = distribution.sample(randoms(len(LOGITS)))
    alone = [
        part.sample([random])[0]
        for part, random in zip(one_by_one(distribution), randoms(len(LOGITS)), strict=True)
    ]
    assert np.array_equal(together, np.array(alone))


def randoms(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def one_by_one(distribution: Distribution) -> list[Distribution]:
    rows = [row[None] for row in LOGITS]
    match distribution:
        case Categorical():
            return [Categorical(row) for row in rows]
        case MultiCategorical():
            return [MultiCategorical(row, SIZES) for row in rows]
        case _:
            return [DiagonalGaussian(row[:, :4]) for row in rows]


def test_options_are_drawn_as_often_as_they_are_likely():
    row = torch.tensor([[0.2, 0.5, 0.3, 0.9, 0.1]]).log().expand(4000, 5)
    drawn = MultiCategorical(row, SIZES).sample([np.random.default_rng(0)] * 4000)
    assert drawn.dtype == np.int64
    first = np.bincount(drawn[:, 0], minlength=3) / 4000
    second = np.bincount(drawn[:, 1], minlength=2) / 4000
    assert first == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert second == pytest.approx([0.9, 0.1], abs=0.03)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05


def test_axes_are_drawn_around_their_means():
    row = torch.tensor([[3.0, -1.0, math.log(0.5), math.log(2.0)]]).expand(4000, 4)
    drawn = DiagonalGaussian(row).sample([np.random.default_rng(0)] * 4000)
    assert drawn.dtype == np.float32
    assert drawn.mean(0) == pytest.approx([3, -1], abs=0.1)
    assert drawn.std(0) == pytest.approx([0.5, 2], rel=0.05)


@pytest.mark.parametrize("distribution", kinds(), ids=lambda each: type(each).__name__)
def test_nothing_that_is_drawn_is_likelier_than_the_likeliest(distribution: Distribution):
    mode = distribution.log_prob(torch.from_numpy(distribution.mode()))
    random = [np.random.default_rng(0)] * len(LOGITS)
    for _ in range(30):
        drawn: Tensor = distribution.log_prob(torch.from_numpy(distribution.sample(random)))
        assert (drawn <= mode + 1e-6).all()


def test_an_option_that_is_impossible_is_never_drawn_and_the_last_is_drawn_at_the_end():
    distribution = Categorical(torch.tensor([[0.0, -math.inf, 0.0]]))
    assert distribution.at(np.array([0.0])).tolist() == [0]
    assert distribution.at(np.array([0.5])).tolist() == [2]
    assert distribution.at(np.array([1.0])).tolist() == [2]
