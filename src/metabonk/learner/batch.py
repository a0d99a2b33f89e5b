"""Rollouts as tensors, and what the network makes of them, at once or in minibatches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.policy.network import Output

CPU_CHUNK = 128
"""Images encoded at once on the CPU, whose buffers the next chunk reuses. glibc returns
blocks above 32 MB to the kernel and gets them back as pages to clear."""

GPU_CHUNK = 2048
"""The same on a GPU, which needs large batches; bounds memory without gradients."""


@dataclass(frozen=True)
class Batch:
    """B rollouts side by side, padded to the longest, T.

    Attributes:
        observations: of all rollouts, ``[N, …]``.
        obs_index: index of each step's observation, ``[T, B]`` int64.
        next_obs_index: index of the observation after each step, ``[T, B]`` int64.
        actions: ``[T, B]`` int64, or ``[T, B, K]``, by the spec.
        log_probs: under the behaviour policy, ``[T, B]`` float32.
        rewards: ``[T, B]`` float32.
        terminated: ``[T, B]`` bool.
        done: last step of an episode or of its rollout, ``[T, B]`` bool.
        valid: steps to learn from: neither padding nor too old, ``[T, B]`` bool.
        mask: false for padding, ``[T, B]`` bool.
        hidden_state: recurrent state before the first step of each rollout, ``[B, H]`` float32.
    """

    observations: Tensor
    obs_index: Tensor
    next_obs_index: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    terminated: Tensor
    done: Tensor
    valid: Tensor
    mask: Tensor
    hidden_state: Tensor

    @property
    def steps(self) -> int:
        """Number of valid steps."""
        return int(self.valid.sum())


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
    obs_index = np.zeros(shape, np.int64)
    next_obs_index = np.zeros(shape, np.int64)
    spec = rollouts[0].spec
    actions = np.zeros((*shape, *spec.action_shape), spec.action_dtype)
    log_probs = np.zeros(shape, np.float32)
    rewards = np.zeros(shape, np.float32)
    terminated = np.zeros(shape, np.bool_)
    done = np.ones(shape, np.bool_)
    valid = np.zeros(shape, np.bool_)
    mask = np.zeros(shape, np.bool_)
    offset = 0
    for column, rollout in enumerate(rollouts):
        steps = len(rollout)
        obs_index[:steps, column] = np.arange(offset, offset + steps)
        next_obs_index[:steps, column] = np.arange(offset + 1, offset + steps + 1)
        offset += steps + 1
        actions[:steps, column] = rollout.actions
        log_probs[:steps, column] = rollout.log_probs
        rewards[:steps, column] = rollout.rewards
        terminated[:steps, column] = rollout.terminated
        done[: steps - 1, column] = rollout.terminated[:-1]
        mask[:steps, column] = True
        valid[:steps, column] = np.abs(version - rollout.versions) <= max_lag
    observations = np.concatenate([rollout.observations for rollout in rollouts])

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Batch(
        observations=tensor(observations),
        obs_index=tensor(obs_index),
        next_obs_index=tensor(next_obs_index),
        actions=tensor(actions),
        log_probs=tensor(log_probs),
        rewards=tensor(rewards),
        terminated=tensor(terminated),
        done=tensor(done),
        valid=tensor(valid),
        mask=tensor(mask),
        hidden_state=tensor(np.stack([rollout.memory for rollout in rollouts])),
    )


def encode(network: ActorCritic, batch: Batch) -> Tensor:
    """Compute the features of every observation for ``ActorCritic.heads``, ``[N, F]``.

    With gradients if they are enabled.
    """
    if network.memory is not None:
        return _encode_sequences(network, batch)
    return _encode(network, batch.observations)


@torch.no_grad()
def evaluate(network: ActorCritic, features: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the current values and policy of every observation.

    Args:
        network: to evaluate.
        features: from ``encode``.

    Returns:
        Values in reward units ``[N]``, and parameters of the policy ``[N, P]``.
    """
    output = network.heads(features)
    return network.denormalize(output.values), output.parameters


def minibatches(
    batch: Batch, spec: PolicySpec, count: int, random: torch.Generator
) -> Iterator[Tensor]:
    """Yield ``count`` shuffled minibatches: indices of valid steps, or of rollouts if recurrent."""
    whole = batch.valid.shape[1] if spec.memory else batch.steps
    order = torch.randperm(whole, generator=random).to(batch.valid.device)
    yield from order.tensor_split(min(count, whole))


def forward_minibatch(
    network: ActorCritic, batch: Batch, minibatch: Tensor
) -> tuple[Output, Tensor]:
    """Run the network on the valid steps of a minibatch, with gradients.

    Args:
        network: to run.
        batch: that the minibatch is from.
        minibatch: from ``minibatches``.

    Returns:
        The output for M steps, and their indices among all valid steps, ``[M]`` int64.
    """
    if network.memory is None:
        chosen = batch.observations[batch.obs_index[batch.valid][minibatch]]
        return network.heads(_encode(network, chosen)), minibatch
    valid = batch.valid[:, minibatch]
    indices = (batch.valid.flatten().cumsum(0) - 1).view_as(batch.valid)[:, minibatch]
    rows = batch.obs_index[:, minibatch]
    features = _encode(network, batch.observations[rows.flatten()]).view(*rows.shape, -1)
    states = _unroll(network, batch, minibatch, features)
    return network.heads(states[valid]), indices[valid]


def _unroll(network: ActorCritic, batch: Batch, columns: Tensor, features: Tensor) -> Tensor:
    """Unroll some rollouts, from features ``[L, b, F]`` to recurrent states ``[L, b, H]``."""
    begins = torch.zeros(features.shape[:2], dtype=torch.bool, device=features.device)
    begins[1:] = batch.terminated[: len(features) - 1, columns]
    assert network.memory is not None, "only a recurrent network is unrolled"
    return network.memory.unroll(features, batch.hidden_state[columns], begins)


def _encode_sequences(network: ActorCritic, batch: Batch) -> Tensor:
    all_rollouts = torch.arange(batch.mask.shape[1], device=batch.hidden_state.device)
    # The last observation of a rollout is only a next observation. Padding repeats it.
    rows = torch.cat([batch.obs_index[:1], batch.next_obs_index])
    mask = torch.cat([batch.mask[:1], batch.mask])
    features = _encode(network, batch.observations)
    states = _unroll(network, batch, all_rollouts, features[rows])[mask]
    order = torch.empty_like(rows[mask])
    order[rows[mask]] = torch.arange(len(order), device=order.device)
    return states[order]


def _encode(network: ActorCritic, observations: Tensor) -> Tensor:
    if observations.dim() == 2:
        return network.encode(observations)
    chunk = CPU_CHUNK if observations.device.type == "cpu" else GPU_CHUNK
    return torch.cat([network.encode(part) for part in torch.split(observations, chunk)])
