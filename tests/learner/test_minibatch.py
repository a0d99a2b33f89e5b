"""Minibatches of the valid steps of a batch, in memory that is used again."""

import numpy as np
import pytest
import torch

from metabonk.learner.batch import Batch, encode, evaluate, make_batch, minibatches
from metabonk.learner.gradient_step import Targets
from metabonk.learner.minibatch import Minibatch
from metabonk.policy import ActorCritic
from tests.support.rollouts import make_rollout
from tests.support.specs import RECURRENT, TINY

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
    minibatch = Minibatch.empty((3,), BATCH, TARGETS)
    for chosen in ([6, 0, 3], [1, 7, 2]):
        minibatch.fill(BATCH, TARGETS, np.array(chosen))
        expected = BATCH.observations[BATCH.obs_of_valid[chosen]]
        assert torch.equal(minibatch.observations, expected)
        assert minibatch.observations.shape == (3, *TINY.observation_shape)
        assert all(map(torch.equal, minibatch.targets, TARGETS.at(torch.tensor(chosen))))
        assert minibatch.weights.tolist() == pytest.approx([1 / 3] * 3)


def test_padding_repeats_a_step_and_has_no_weight():
    minibatch = Minibatch.empty((4,), BATCH, TARGETS)
    minibatch.fill(BATCH, TARGETS, np.array([6, 2]))
    assert minibatch.targets.advantages.tolist() == [6, 2, 6, 6]
    assert torch.equal(minibatch.observations[0], minibatch.observations[3])
    assert minibatch.weights.tolist() == [0.5, 0.5, 0, 0]


def recurrent_batch() -> Batch:
    """Return a batch of three rollouts of 5, 3 and 6 steps, with two that are too old."""
    rollouts = [
        make_rollout(5, spec=RECURRENT, seed=1, terminated=(1,)),
        make_rollout(3, spec=RECURRENT, seed=2, truncated=True),
        make_rollout(6, spec=RECURRENT, seed=3, terminated=(0, 5)),
    ]
    rollouts[2].versions[:2] = 9
    return make_batch(rollouts, version=0, max_lag=2, device=torch.device("cpu"))


def numbered_targets(batch: Batch) -> Targets:
    """Return targets whose advantages are the numbers of the steps."""
    numbers = torch.arange(float(batch.steps))
    actions, behaviour = batch.select(batch.actions), batch.select(batch.log_probs)
    return Targets(actions, behaviour, numbers, numbers, numbers)


@pytest.mark.parametrize("shape", [(6, 2), (9, 5)], ids=["exact", "with padding"])
def test_rollouts_of_a_recurrent_policy_are_run_with_the_evaluated_values(shape: tuple[int, int]):
    network, batch = ActorCritic(RECURRENT), recurrent_batch()
    targets = numbered_targets(batch)
    values, _ = evaluate(network, encode(network, batch))
    expected = values[batch.obs_of_valid]
    minibatch, learned = Minibatch.empty(shape, batch, targets), []
    assert minibatch.shape == shape
    for columns in minibatches(batch, RECURRENT, 2, torch.Generator().manual_seed(0)):
        minibatch.fill(batch, targets, columns)
        output = network.heads(minibatch.features(network))
        assert output.values.requires_grad
        # Padding repeats a step, with its own targets.
        steps = minibatch.targets.advantages.to(torch.int64)
        torch.testing.assert_close(network.denormalize(output.values), expected[steps])
        weighted = minibatch.weights > 0
        assert minibatch.weights.sum() == pytest.approx(1)
        assert (minibatch.weights[weighted] == 1 / weighted.sum()).all()
        learned += steps[weighted].tolist()
    assert sorted(learned) == list(range(batch.steps)) == list(range(12))


def test_gradients_do_not_depend_on_padding():
    network, batch = ActorCritic(RECURRENT), recurrent_batch()
    targets, columns = numbered_targets(batch), np.array([2, 0])
    gradients = []
    for shape in ((6, 2), (8, 4)):
        minibatch = Minibatch.empty(shape, batch, targets)
        minibatch.fill(batch, targets, columns)
        output = network.heads(minibatch.features(network))
        loss = (output.values.square() * minibatch.weights).sum() + output.parameters[0, 0]
        gradients.append(torch.autograd.grad(loss, [*network.parameters()]))
    torch.testing.assert_close(*gradients)
