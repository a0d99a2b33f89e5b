"""Passes of the network over a batch.

Without a memory a batch is a heap of observations, and a part of it any of them. With a memory it
is a set of sequences, and a part of it some of these, each from its first step to its last.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from metabonk.learner.batch import Batch
from metabonk.policy import ActorCritic, PolicySpec
from metabonk.policy.network import Output

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
