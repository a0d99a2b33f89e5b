"""Rollouts as tensors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.policy.network import Output


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


ROWS_ON_PROCESSOR = 128
"""Observations that are encoded at once. What that needs is used again for the next ones; larger
blocks, from 32 MB on, glibc gives back to the kernel and gets as pages that are cleared anew."""

ROWS_ELSEWHERE = 2048
"""The same on a GPU, which is kept busy by large passes: bounds memory without gradients."""


def look(network: ActorCritic, batch: Batch) -> Tensor:
    """What the network makes of every observation, for ``ActorCritic.conclude``; ``[N, F]``.

    With gradients where they are enabled.
    """
    if network.memory is not None:
        return _look_along(network, batch)
    return _encode(network, batch.observations)


@torch.no_grad()
def assess(network: ActorCritic, features: Tensor) -> tuple[Tensor, Tensor]:
    """What the network says now of every observation.

    Args:
        network: is asked.
        features: from ``look``.

    Returns:
        Values in reward units ``[N]``, and parameters of the policy ``[N, P]``.
    """
    output = network.conclude(features)
    return network.denormalise(output.values), output.parameters


def parts(batch: Batch, spec: PolicySpec, count: int, random: torch.Generator) -> Iterator[Tensor]:
    """A batch in ``count`` parts, in an order by chance: numbers of valid steps, or of rollouts."""
    whole = batch.valid.shape[1] if spec.memory else batch.steps
    order = torch.randperm(whole, generator=random).to(batch.valid.device)
    yield from order.tensor_split(min(count, whole))


def look_again(network: ActorCritic, batch: Batch, part: Tensor) -> tuple[Output, Tensor]:
    """What the network says of the valid steps of a part, with gradients.

    Args:
        network: is asked.
        batch: whose steps they are.
        part: from ``parts``.

    Returns:
        The output for M steps, and which of all valid steps they are, ``[M]`` int64.
    """
    if network.memory is None:
        chosen = batch.observations[batch.acted_on[batch.valid][part]]
        return network.conclude(_encode(network, chosen)), part
    valid = batch.valid[:, part]
    numbers = (batch.valid.flatten().cumsum(0) - 1).view_as(batch.valid)[:, part]
    rows = batch.acted_on[:, part]
    features = _encode(network, batch.observations[rows.flatten()]).view(*rows.shape, -1)
    states = _unroll(network, batch, part, features)
    return network.conclude(states[valid]), numbers[valid]


def _unroll(network: ActorCritic, batch: Batch, columns: Tensor, features: Tensor) -> Tensor:
    """Along some rollouts, ``[L, b, H]``; ``features`` of their observations, ``[L, b, F]``."""
    begins = torch.zeros(features.shape[:2], dtype=torch.bool, device=features.device)
    begins[1:] = batch.terminated[: len(features) - 1, columns]
    return network.unroll(features, batch.memory[columns], begins)


def _look_along(network: ActorCritic, batch: Batch) -> Tensor:
    everyone = torch.arange(batch.real.shape[1], device=batch.memory.device)
    # The last observation of a rollout was led to and not acted on. Padding repeats it.
    rows = torch.cat([batch.acted_on[:1], batch.led_to])
    real = torch.cat([batch.real[:1], batch.real])
    features = _encode(network, batch.observations)
    states = _unroll(network, batch, everyone, features[rows])[real]
    order = torch.empty_like(rows[real])
    order[rows[real]] = torch.arange(len(order), device=order.device)
    return states[order]


def _encode(network: ActorCritic, observations: Tensor) -> Tensor:
    at_once = ROWS_ON_PROCESSOR if observations.device.type == "cpu" else ROWS_ELSEWHERE
    return torch.cat([network.encode(some) for some in torch.split(observations, at_once)])
