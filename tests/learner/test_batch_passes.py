"""Passes of the network over a batch."""

import numpy as np
import pytest
import torch

from metabonk.learner.batch import (
    Batch,
    encode,
    evaluate,
    forward_minibatch,
    make_batch,
    minibatches,
)
from metabonk.policy import ActorCritic, PolicySpec, Rollout
from tests.support.rollouts import made_up
from tests.support.specs import NUMBERS, REMEMBERING


def rollouts_of(spec: PolicySpec) -> list[Rollout]:
    return [
        made_up(5, spec=spec, seed=1, terminated=(1,)),
        made_up(3, spec=spec, seed=2, truncated=True),
        made_up(6, spec=spec, seed=3, terminated=(5,)),
    ]


def batch_of(rollouts: list[Rollout], version: int = 0) -> Batch:
    return make_batch(rollouts, version=version, max_lag=2, device=torch.device("cpu"))


def one_by_one(network: ActorCritic, rollout: Rollout) -> torch.Tensor:
    """Values in reward units of all its observations, seen one after the other."""
    memory = torch.from_numpy(rollout.memory)[None]
    values = []
    for step, seen in enumerate(rollout.observations):
        if step and rollout.terminated[step - 1]:
            memory = torch.zeros_like(memory)
        output = network(torch.from_numpy(seen)[None], memory)
        memory = output.memory
        values.append(network.denormalize(output.values))
    return torch.cat(values)


@pytest.mark.parametrize("spec", [NUMBERS, REMEMBERING], ids=["heap", "sequences"])
def test_every_observation_is_assessed_as_whoever_lived_it_would(spec: PolicySpec):
    network, rollouts = ActorCritic(spec), rollouts_of(spec)
    network.set_return_scale(3.0)
    values, parameters = evaluate(network, encode(network, batch_of(rollouts)))
    expected = torch.cat([one_by_one(network, rollout) for rollout in rollouts])
    torch.testing.assert_close(values, expected)
    assert parameters.shape == (len(expected), 2)
    assert not values.requires_grad


@pytest.mark.parametrize("spec", [NUMBERS, REMEMBERING], ids=["heap", "sequences"])
def test_the_parts_hold_every_valid_step_once_and_say_of_it_what_was_assessed(spec: PolicySpec):
    network, rollouts = ActorCritic(spec), rollouts_of(spec)
    rollouts[2].versions[:2] = 9  # Too far off to be learned from.
    batch = batch_of(rollouts)
    values, _ = evaluate(network, encode(network, batch))
    of_valid = values[batch.obs_index][batch.valid]
    seen = []
    for minibatch in minibatches(batch, spec, 2, torch.Generator().manual_seed(0)):
        output, chosen = forward_minibatch(network, batch, minibatch)
        torch.testing.assert_close(network.denormalize(output.values), of_valid[chosen])
        assert output.values.requires_grad
        seen += chosen.tolist()
    assert sorted(seen) == list(range(batch.steps)) == list(range(12))


def test_sequences_are_never_torn_apart():
    batch = batch_of([made_up(4, spec=REMEMBERING, seed=seed) for seed in range(6)])
    for minibatch in minibatches(batch, REMEMBERING, 3, torch.Generator().manual_seed(0)):
        _, chosen = forward_minibatch(ActorCritic(REMEMBERING), batch, minibatch)
        # Valid steps are numbered row by row, so a rollout is a column of 6.
        columns, counts = np.unique(chosen.numpy() % 6, return_counts=True)
        assert sorted(columns) == sorted(minibatch.tolist())
        assert (counts == 4).all()


def test_there_are_no_more_parts_than_there_is_to_part():
    batch = batch_of([made_up(4, spec=REMEMBERING)])
    assert len(list(minibatches(batch, REMEMBERING, 4, torch.Generator()))) == 1
    assert len(list(minibatches(batch, NUMBERS, 9, torch.Generator()))) == 4
