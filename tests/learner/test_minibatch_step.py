"""Minibatches of the valid steps of a batch, in memory that is used again."""

import numpy as np
import pytest
import torch

from metabonk.learner.batch import make_batch
from metabonk.learner.gradient_step import Targets
from metabonk.learner.minibatch_step import Minibatch
from tests.support.rollouts import make_rollout
from tests.support.specs import TINY

BATCH = make_batch(
    [make_rollout(5, seed=1), make_rollout(3, seed=2)],
    version=0,
    max_lag=1,
    device=torch.device("cpu"),
)
TARGETS = Targets(
    BATCH.select(BATCH.actions),
    BATCH.select(BATCH.log_probs),
    *(torch.arange(8.0) + 10 * number for number in range(3)),
)


def test_a_minibatch_has_the_observations_and_targets_of_the_chosen_steps():
    minibatch = Minibatch.empty(3, BATCH, TARGETS)
    for chosen in ([6, 0, 3], [1, 7, 2]):
        minibatch.fill(BATCH, TARGETS, np.array(chosen))
        expected = BATCH.observations[BATCH.obs_of_valid[chosen]]
        assert torch.equal(minibatch.observations, expected)
        assert minibatch.observations.shape == (3, *TINY.observation_shape)
        assert all(map(torch.equal, minibatch.targets, TARGETS.at(torch.tensor(chosen))))
        assert minibatch.weights.tolist() == pytest.approx([1 / 3] * 3)


def test_padding_repeats_a_step_and_has_no_weight():
    minibatch = Minibatch.empty(4, BATCH, TARGETS)
    minibatch.fill(BATCH, TARGETS, np.array([6, 2]))
    assert minibatch.targets.advantages.tolist() == [6, 2, 6, 6]
    assert torch.equal(minibatch.observations[0], minibatch.observations[3])
    assert minibatch.weights.tolist() == [0.5, 0.5, 0, 0]
