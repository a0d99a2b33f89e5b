"""Rollouts as tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.policy import Rollout


@dataclass(frozen=True)
class Batch:
    """B rollouts side by side, padded to the longest, T.

    Attributes:
        observations: every observation of every rollout once, ``[N, …]``.
        acted_on: which of them each step was taken on; ``[T, B]`` int64.
        led_to: which of them each step led to; ``[T, B]`` int64.
        actions: ``[T, B]`` int64, or ``[T, B, K]`` as the spec says.
        log_probs: under the policy that chose; ``[T, B]`` float32.
        rewards: ``[T, B]`` float32.
        terminated: ``[T, B]`` bool.
        ends: last step of an episode or of its rollout; ``[T, B]`` bool.
        valid: a real step that may be learned from; ``[T, B]`` bool.
        real: not padding; ``[T, B]`` bool.
        memory: the recurrent state before the first step of each; ``[B, H]`` float32.
    """

    observations: Tensor
    acted_on: Tensor
    led_to: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    terminated: Tensor
    ends: Tensor
    valid: Tensor
    real: Tensor
    memory: Tensor

    @property
    def steps(self) -> int:
        """How many steps may be learned from."""
        return int(self.valid.sum())


def make_batch(
    rollouts: list[Rollout], *, version: int, max_lag: int, device: torch.device
) -> Batch:
    """Puts rollouts side by side and marks what may be learned from.

    A step whose weights are more than ``max_lag`` versions away is marked invalid. Versions above
    ``version`` exist after a learner has gone back to a checkpoint; they count by their distance.

    Args:
        rollouts: at least one.
        version: of the weights now.
        max_lag: versions.
        device: where the tensors go.
    """
    longest = max(map(len, rollouts))
    shape = (longest, len(rollouts))
    acted_on = np.zeros(shape, np.int64)
    led_to = np.zeros(shape, np.int64)
    spec = rollouts[0].spec
    actions = np.zeros((*shape, *spec.action_shape), spec.action_dtype)
    log_probs = np.zeros(shape, np.float32)
    rewards = np.zeros(shape, np.float32)
    terminated = np.zeros(shape, np.bool_)
    ends = np.ones(shape, np.bool_)
    valid = np.zeros(shape, np.bool_)
    real = np.zeros(shape, np.bool_)
    offset = 0
    for column, rollout in enumerate(rollouts):
        steps = len(rollout)
        acted_on[:steps, column] = np.arange(offset, offset + steps)
        led_to[:steps, column] = np.arange(offset + 1, offset + steps + 1)
        offset += steps + 1
        actions[:steps, column] = rollout.actions
        log_probs[:steps, column] = rollout.log_probs
        rewards[:steps, column] = rollout.rewards
        terminated[:steps, column] = rollout.terminated
        ends[: steps - 1, column] = rollout.terminated[:-1]
        real[:steps, column] = True
        valid[:steps, column] = np.abs(version - rollout.versions) <= max_lag
    observations = np.concatenate([rollout.observations for rollout in rollouts])

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Batch(
        observations=tensor(observations),
        acted_on=tensor(acted_on),
        led_to=tensor(led_to),
        actions=tensor(actions),
        log_probs=tensor(log_probs),
        rewards=tensor(rewards),
        terminated=tensor(terminated),
        ends=tensor(ends),
        valid=tensor(valid),
        real=tensor(real),
        memory=tensor(np.stack([rollout.memory for rollout in rollouts])),
    )
