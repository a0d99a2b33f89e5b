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

FORWARD_ROWS = 512
"""Observations that one pass over all takes at once: bounds memory without gradients."""


def look(network: ActorCritic, batch: Batch) -> Tensor:
    """What the network makes of every observation, for ``ActorCritic.conclude``; ``[N, F]``.

    With gradients where they are enabled.
    """
    if network.memory is not None:
        return _look_along(network, batch)
    rows = torch.split(batch.observations, FORWARD_ROWS)
    return torch.cat([network.encode(some) for some in rows])


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
        return network(batch.observations[batch.acted_on[batch.valid][part]]), part
    valid = batch.valid[:, part]
    numbers = (batch.valid.flatten().cumsum(0) - 1).view_as(batch.valid)[:, part]
    features = _unroll(network, batch, part, batch.acted_on[:, part])
    return network.conclude(features[valid]), numbers[valid]


def _unroll(network: ActorCritic, batch: Batch, columns: Tensor, rows: Tensor) -> Tensor:
    """Along some rollouts, ``[L, b, H]``; ``rows`` says which observations, ``[L, b]``."""
    begins = torch.zeros(rows.shape, dtype=torch.bool, device=rows.device)
    begins[1:] = batch.terminated[: len(rows) - 1, columns]
    features = network.encode(batch.observations[rows.flatten()]).view(*rows.shape, -1)
    return network.unroll(features, batch.memory[columns], begins)


def _look_along(network: ActorCritic, batch: Batch) -> Tensor:
    steps, rollouts = batch.real.shape
    everyone = torch.arange(rollouts, device=batch.memory.device)
    numbers, states = [], []
    for columns in torch.split(everyone, max(1, FORWARD_ROWS // (steps + 1))):
        # The last observation of a rollout was led to and not acted on. Padding repeats it.
        rows = torch.cat([batch.acted_on[:1, columns], batch.led_to[:, columns]])
        real = torch.cat([batch.real[:1, columns], batch.real[:, columns]])
        numbers.append(rows[real])
        states.append(_unroll(network, batch, columns, rows)[real])
    order = torch.empty_like(torch.cat(numbers))
    order[torch.cat(numbers)] = torch.arange(len(order), device=order.device)
    return torch.cat(states)[order]
