"""Choice of actions, against the distributions that the learner computes with."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metabonk.policy import PolicySpec
from metabonk.policy.action_choice import choose
from tests.support.specs import CONTINUOUS, MULTI_DISCRETE, TINY

SPECS = (TINY, MULTI_DISCRETE, CONTINUOUS)
ROWS = 6


def parameters_of(spec: PolicySpec, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return (random.standard_normal((ROWS, spec.parameters)) * 2).astype(np.float32)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def by_kind(spec: PolicySpec) -> str:
    return spec.action_kind.value


def repeated(*row: float) -> NDArray[np.float32]:
    return np.tile(np.array(row, np.float32), (4000, 1))


@pytest.mark.parametrize("spec", SPECS, ids=by_kind)
@given(seed=st.integers(0, 2**32))
def test_probabilities_are_those_that_the_learner_computes(spec: PolicySpec, seed: int):
    parameters = parameters_of(spec, seed)
    for randoms in (generators(ROWS), None):
        choice = choose(spec, parameters, randoms)
        policy = spec.distribution(torch.from_numpy(parameters))
        expected = policy.log_prob(torch.from_numpy(choice.actions)).numpy()
        assert choice.log_probs == pytest.approx(expected, abs=1e-5)
        assert choice.probabilities == pytest.approx(policy.probabilities().numpy(), abs=1e-6)
        assert choice.log_probs.dtype == choice.probabilities.dtype == np.float32
        assert choice.actions.dtype == spec.action_dtype
        assert choice.actions.shape == (ROWS, *spec.action_shape)


@pytest.mark.parametrize("spec", SPECS, ids=by_kind)
def test_a_batch_is_sampled_like_each_row_alone(spec: PolicySpec):
    parameters = parameters_of(spec)
    together = choose(spec, parameters, generators(ROWS)).actions
    alone = [
        choose(spec, row[None], [random]).actions[0]
        for row, random in zip(parameters, generators(ROWS), strict=True)
    ]
    assert np.array_equal(together, np.array(alone))


def test_options_are_sampled_with_their_probabilities():
    logits = repeated(*np.log([0.2, 0.5, 0.3, 0.9, 0.1]))
    samples = choose(MULTI_DISCRETE, logits, [np.random.default_rng(0)] * 4000).actions
    first = np.bincount(samples[:, 0], minlength=3) / 4000
    second = np.bincount(samples[:, 1], minlength=2) / 4000
    assert first == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert second == pytest.approx([0.9, 0.1], abs=0.03)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.05


def test_continuous_samples_have_the_given_mean_and_deviation():
    rows = repeated(3.0, -1.0, math.log(0.5), math.log(2.0))
    samples = choose(CONTINUOUS, rows, [np.random.default_rng(0)] * 4000).actions
    assert samples.mean(0) == pytest.approx([3, -1], abs=0.1)
    assert samples.std(0) == pytest.approx([0.5, 2], rel=0.05)


@pytest.mark.parametrize("spec", SPECS, ids=by_kind)
def test_no_sample_is_likelier_than_the_most_likely_action(spec: PolicySpec):
    parameters = parameters_of(spec)
    greedy = choose(spec, parameters, None).log_probs
    random = [np.random.default_rng(0)] * ROWS
    for _ in range(30):
        assert (choose(spec, parameters, random).log_probs <= greedy + 1e-6).all()


class Quantile(np.random.Generator):
    """Generator that returns one number."""

    def __init__(self, quantile: float) -> None:
        super().__init__(np.random.PCG64())
        self._quantile = quantile

    def random(self, *_: object) -> float:  # type: ignore[override]
        return self._quantile


@pytest.mark.parametrize(("quantile", "option"), [(0.0, 0), (0.5, 2), (1.0, 2)])
def test_an_impossible_option_is_never_sampled_even_at_the_edges(quantile: float, option: int):
    logits = np.array([[0.0, -np.inf, 0.0]], np.float32)
    assert choose(TINY, logits, [Quantile(quantile)]).actions.tolist() == [option]
