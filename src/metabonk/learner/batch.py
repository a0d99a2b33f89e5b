"""Rollouts as tensors, and what the network makes of them, at once or in minibatches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.policy.recurrent import RecurrentLayer
from metabonk.policy.transfer import upload

CPU_CHUNK = 128
"""Images encoded at once on the CPU, whose buffers the next chunk reuses. glibc returns
blocks above 32 MB to the kernel and gets them back as pages to clear."""

GPU_CHUNK = 2048
"""The same on a GPU, which needs large batches; bounds memory without gradients."""


@dataclass(frozen=True)
class Layout:
    """Positions of the steps of B rollouts, side by side and padded to the longest, T.

    In host memory: what is decided by it need not be asked of a GPU.

    Attributes:
        obs_index: index of each step's observation, ``[T, B]`` int64.
        next_obs_index: index of the observation after each step, ``[T, B]`` int64.
        terminated: ``[T, B]`` bool.
        mask: false for padding, ``[T, B]`` bool.
        valid: steps to learn from: neither padding nor too old, ``[T, B]`` bool.
    """

    obs_index: NDArray[np.int64]
    next_obs_index: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """B rollouts as tensors, padded to the longest, T.

    Attributes:
        layout: of the rollouts, in host memory.
        steps: number of valid steps, N.
        valid: their numbers, row by row of ``[T, B]``; ``[N]`` int64.
        obs_of_valid: index of their observations, ``[N]`` int64.
        observations: of all rollouts, ``[O, …]``.
        obs_index: index of each step's observation, ``[T, B]`` int64.
        next_obs_index: index of the observation after each step, ``[T, B]`` int64.
        actions: ``[T, B]`` int64, or ``[T, B, K]``, by the spec.
        log_probs: under the behaviour policy, ``[T, B]`` float32.
        rewards: ``[T, B]`` float32.
        terminated: ``[T, B]`` bool.
        done: last step of an episode or of its rollout, ``[T, B]`` bool.
        hidden_state: recurrent state before the first step of each rollout, ``[B, H]`` float32.
    """

    layout: Layout
    steps: int
    valid: Tensor
    obs_of_valid: Tensor
    observations: Tensor
    obs_index: Tensor
    next_obs_index: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    terminated: Tensor
    done: Tensor
    hidden_state: Tensor

    def select(self, values: Tensor) -> Tensor:
        """Return the values ``[T, B, …]`` of the valid steps, ``[N, …]``."""
        return values.flatten(0, 1).index_select(0, self.valid)


def make_batch(
    rollouts: list[Rollout], *, version: int, max_lag: int, device: torch.device
) -> Batch:
    """Batch rollouts and mark the steps to learn from.

    Steps whose policy is more than ``max_lag`` versions away are invalid. Versions above
    ``version`` occur after the learner went back to a checkpoint; their distance counts.

    Args:
        rollouts: at least one.
        version: of the current weights.
        max_lag: versions.
        device: for the tensors.
    """
    longest = max(map(len, rollouts))
    shape = (longest, len(rollouts))
    spec = rollouts[0].spec
    layout = Layout(
        obs_index=np.zeros(shape, np.int64),
        next_obs_index=np.zeros(shape, np.int64),
        terminated=np.zeros(shape, np.bool_),
        mask=np.zeros(shape, np.bool_),
        valid=np.zeros(shape, np.bool_),
    )
    actions = np.zeros((*shape, *spec.action_shape), spec.action_dtype)
    log_probs = np.zeros(shape, np.float32)
    rewards = np.zeros(shape, np.float32)
    done = np.ones(shape, np.bool_)
    offset = 0
    for column, rollout in enumerate(rollouts):
        steps = len(rollout)
        layout.obs_index[:steps, column] = np.arange(offset, offset + steps)
        layout.next_obs_index[:steps, column] = np.arange(offset + 1, offset + steps + 1)
        offset += steps + 1
        layout.terminated[:steps, column] = rollout.terminated
        layout.mask[:steps, column] = True
        layout.valid[:steps, column] = np.abs(version - rollout.versions) <= max_lag
        actions[:steps, column] = rollout.actions
        log_probs[:steps, column] = rollout.log_probs
        rewards[:steps, column] = rollout.rewards
        done[: steps - 1, column] = rollout.terminated[:-1]
    valid = np.flatnonzero(layout.valid)
    return Batch(
        layout=layout,
        steps=len(valid),
        valid=upload(valid, device),
        obs_of_valid=upload(layout.obs_index[layout.valid], device),
        observations=torch.cat([rollout.observations_on(device) for rollout in rollouts]),
        obs_index=upload(layout.obs_index, device),
        next_obs_index=upload(layout.next_obs_index, device),
        actions=upload(actions, device),
        log_probs=upload(log_probs, device),
        rewards=upload(rewards, device),
        terminated=upload(layout.terminated, device),
        done=upload(done, device),
        hidden_state=upload(np.stack([rollout.memory for rollout in rollouts]), device),
    )


def encode(network: ActorCritic, batch: Batch) -> Tensor:
    """Compute the features of every observation for ``ActorCritic.heads``, ``[O, F]``.

    With gradients if they are enabled.
    """
    if network.memory is not None:
        return _encode_sequences(network, network.memory, batch)
    return encode_observations(network, batch.observations)


@torch.no_grad()
def evaluate(network: ActorCritic, features: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the current values and policy of every observation.

    Args:
        network: to evaluate.
        features: from ``encode``.

    Returns:
        Values in reward units ``[O]``, and parameters of the policy ``[O, P]``.
    """
    output = network.heads(features)
    return network.denormalize(output.values), output.parameters


def minibatches(
    batch: Batch, spec: PolicySpec, count: int, random: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield ``count`` shuffled minibatches: indices of valid steps, or of rollouts if recurrent.

    None is without valid steps, and the first are the largest.
    """
    valid = batch.layout.valid
    whole = valid.shape[1] if spec.memory else batch.steps
    order = torch.randperm(whole, generator=random)
    for part in order.tensor_split(min(count, whole)):
        chosen = part.numpy()
        if not spec.memory or valid[:, chosen].any():
            yield chosen


def encode_observations(network: ActorCritic, observations: Tensor) -> Tensor:
    """Compute the features of observations alone, ``[N, F]``, in chunks of a good size."""
    if observations.dim() == 2:
        return network.encode(observations)
    chunk = CPU_CHUNK if observations.device.type == "cpu" else GPU_CHUNK
    return torch.cat([network.encode(part) for part in torch.split(observations, chunk)])


def _encode_sequences(network: ActorCritic, memory: RecurrentLayer, batch: Batch) -> Tensor:
    layout, device = batch.layout, batch.valid.device
    # The last observation of a rollout is only a next observation. Padding repeats it.
    rows = np.concatenate([layout.obs_index[:1], layout.next_obs_index])
    mask = np.concatenate([layout.mask[:1], layout.mask])
    features = encode_observations(network, batch.observations)
    unrolled = features.index_select(0, upload(rows.flatten(), device)).view(*rows.shape, -1)
    starts = np.zeros(rows.shape, np.bool_)
    starts[1:] = layout.terminated
    states = memory.unroll(unrolled, batch.hidden_state, upload(starts, device))
    step_of_row = np.empty(len(features), np.int64)
    step_of_row[rows[mask]] = np.flatnonzero(mask)
    return states.flatten(0, 1).index_select(0, upload(step_of_row, device))
