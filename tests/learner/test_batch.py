"""Rollouts as tensors."""

import numpy as np
import torch

from metabonk.learner.batch import Batch, make_batch
from metabonk.policy import Rollout
from tests.support.rollouts import made_up

CPU = torch.device("cpu")


def batch_of(*rollouts: Rollout, version: int = 0, max_lag: int = 20) -> Batch:
    return make_batch(list(rollouts), version=version, max_lag=max_lag, device=CPU)


def test_every_step_finds_what_it_acted_on_and_what_it_led_to():
    rollouts = [made_up(3, seed=1), made_up(5, seed=2)]
    batch = batch_of(*rollouts)
    assert len(batch.observations) == 4 + 6
    for column, rollout in enumerate(rollouts):
        for step in range(len(rollout)):
            before = batch.observations[batch.obs_index[step, column]].numpy()
            after = batch.observations[batch.next_obs_index[step, column]].numpy()
            assert (before == rollout.observations[step]).all()
            assert (after == rollout.observations[step + 1]).all()


def test_padding_is_not_learned_from():
    batch = batch_of(made_up(3), made_up(5))
    assert batch.valid.tolist() == [[True, True]] * 3 + [[False, True]] * 2
    assert batch.steps == 8


def test_episodes_and_rollouts_end_but_only_terminations_terminate():
    batch = batch_of(made_up(4, terminated=(1,)), made_up(2, truncated=True))
    assert batch.done[:, 0].tolist() == [False, True, False, True]
    assert batch.terminated[:, 0].tolist() == [False, True, False, False]
    assert batch.done[:2, 1].tolist() == [False, True]
    assert not batch.terminated[:, 1].any()


def test_steps_beyond_the_allowed_lag_are_left_out_in_either_direction():
    rollout = made_up(4)
    rollout.versions[:] = [6, 7, 10, 14]
    batch = batch_of(rollout, version=10, max_lag=3)
    assert batch.valid[:, 0].tolist() == [False, True, True, False]


def test_numbers_arrive_unchanged():
    rollout = made_up(4)
    batch = batch_of(rollout)
    for name in ("actions", "log_probs", "rewards"):
        assert np.array_equal(getattr(batch, name)[:, 0].numpy(), getattr(rollout, name))
