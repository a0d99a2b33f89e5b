"""Batches of rollouts and forward passes over them."""

import numpy as np
import pytest
import torch

from metabonk.learner.batch import (
    Batch,
    encode,
    evaluate,
    make_batch,
    minibatches,
)
from metabonk.policy import ActorCritic, PolicySpec, Rollout
from tests.support.rollouts import make_rollout
from tests.support.specs import RECURRENT, VECTOR


def batch_of(*rollouts: Rollout, version: int = 0, max_lag: int = 20) -> Batch:
    return make_batch(list(rollouts), version=version, max_lag=max_lag, device=torch.device("cpu"))


def test_every_step_indexes_its_observation_and_the_next_one():
    rollouts = [make_rollout(3, seed=1), make_rollout(5, seed=2)]
    batch = batch_of(*rollouts)
    assert len(batch.observations) == 4 + 6
    for column, rollout in enumerate(rollouts):
        for step in range(len(rollout)):
            before = batch.observations[batch.obs_index[step, column]].numpy()
            after = batch.observations[batch.next_obs_index[step, column]].numpy()
            assert (before == rollout.observations[step]).all()
            assert (after == rollout.observations[step + 1]).all()


def test_padding_is_masked():
    batch = batch_of(make_rollout(3), make_rollout(5))
    assert batch.layout.valid.tolist() == [[True, True]] * 3 + [[False, True]] * 2
    assert batch.steps == 8


def test_episodes_and_rollouts_are_done_at_their_end_but_only_terminations_terminate():
    batch = batch_of(make_rollout(4, terminated=(1,)), make_rollout(2, truncated=True))
    assert batch.done[:, 0].tolist() == [False, True, False, True]
    assert batch.terminated[:, 0].tolist() == [False, True, False, False]
    assert batch.done[:2, 1].tolist() == [False, True]
    assert not batch.terminated[:, 1].any()


def test_steps_beyond_the_maximum_lag_are_masked_in_either_direction():
    rollout = make_rollout(4)
    rollout.versions[:] = [6, 7, 10, 14]
    batch = batch_of(rollout, version=10, max_lag=3)
    assert batch.layout.valid[:, 0].tolist() == [False, True, True, False]


def test_values_are_copied_unchanged():
    rollout = make_rollout(4)
    batch = batch_of(rollout)
    for name in ("actions", "log_probs", "rewards"):
        assert np.array_equal(getattr(batch, name)[:, 0].numpy(), getattr(rollout, name))


def rollouts_of(spec: PolicySpec) -> list[Rollout]:
    return [
        make_rollout(5, spec=spec, seed=1, terminated=(1,)),
        make_rollout(3, spec=spec, seed=2, truncated=True),
        make_rollout(6, spec=spec, seed=3, terminated=(5,)),
    ]


def values_step_by_step(network: ActorCritic, rollout: Rollout) -> torch.Tensor:
    """Return the values of all observations in reward units, computed one at a time."""
    memory = torch.from_numpy(rollout.memory)[None]
    values = []
    for step, observation in enumerate(rollout.observations):
        if step and rollout.terminated[step - 1]:
            memory = torch.zeros_like(memory)
        output = network(torch.from_numpy(observation)[None], memory)
        memory = output.memory
        values.append(network.denormalize(output.values))
    return torch.cat(values)


@pytest.mark.parametrize("spec", [VECTOR, RECURRENT], ids=["feed-forward", "recurrent"])
def test_a_batch_is_evaluated_as_step_by_step(spec: PolicySpec):
    network, rollouts = ActorCritic(spec), rollouts_of(spec)
    network.set_return_scale(3.0)
    values, parameters = evaluate(network, encode(network, batch_of(*rollouts)))
    expected = torch.cat([values_step_by_step(network, rollout) for rollout in rollouts])
    torch.testing.assert_close(values, expected)
    assert parameters.shape == (len(expected), 2)
    assert not values.requires_grad


def test_valid_steps_are_selected_row_by_row():
    rollouts = rollouts_of(VECTOR)
    rollouts[0].versions[0] = 9
    batch = batch_of(*rollouts, max_lag=2)
    rewards = [r.rewards[t] for t in range(6) for r in rollouts if t < len(r)][1:]
    assert batch.select(batch.rewards).tolist() == pytest.approx(rewards)
    first = batch.observations[batch.obs_of_valid[0]].numpy()
    assert (first == rollouts[1].observations[0]).all()


def test_minibatches_cover_every_valid_step_once():
    rollouts = rollouts_of(VECTOR)
    rollouts[2].versions[:2] = 9
    batch = batch_of(*rollouts, max_lag=2)
    parts = [*minibatches(batch, VECTOR, 5, torch.Generator().manual_seed(0))]
    assert [len(part) for part in parts] == [3, 3, 2, 2, 2]
    assert sorted(np.concatenate(parts)) == list(range(batch.steps)) == list(range(12))


def test_minibatches_of_a_recurrent_policy_are_whole_rollouts():
    batch = batch_of(*(make_rollout(4, spec=RECURRENT, seed=seed) for seed in range(6)))
    parts = [*minibatches(batch, RECURRENT, 4, torch.Generator().manual_seed(0))]
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    assert sorted(np.concatenate(parts)) == list(range(6))


def test_no_minibatch_is_empty():
    batch = batch_of(make_rollout(4, spec=RECURRENT))
    assert len(list(minibatches(batch, RECURRENT, 4, torch.Generator()))) == 1
    assert len(list(minibatches(batch, VECTOR, 9, torch.Generator()))) == 4


def test_no_minibatch_is_without_steps_to_learn_from():
    rollouts = [make_rollout(4, spec=RECURRENT, seed=seed) for seed in range(3)]
    rollouts[1].versions[:] = 9
    batch = batch_of(*rollouts, max_lag=2)
    parts = [*minibatches(batch, RECURRENT, 3, torch.Generator())]
    assert sorted(part.tolist() for part in parts) == [[0], [2]]
