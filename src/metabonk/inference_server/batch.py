"""One forward pass for the observations of several workers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from metabonk.policy.inference_wire import InferenceSlab
from metabonk.policy.shared_network import SharedNetwork
from metabonk.policy.transfer import upload_joined


class Request(NamedTuple):
    """Observations that wait for a forward pass.

    Attributes:
        slab: that they lie in, from its first row.
        observations: how many.
    """

    slab: InferenceSlab
    observations: int


class BatchedForward:
    """Forward passes of a network, from memory to memory.

    Args:
        shared: the network.
        device: that it is on.
    """

    def __init__(self, shared: SharedNetwork, device: torch.device) -> None:
        self._shared = shared
        self._device = device

    @torch.inference_mode()
    def __call__(self, requests: Sequence[Request]) -> int:
        """Answer requests in their memory, in one forward pass.

        Args:
            requests: at least one, with at least one observation each.

        Returns:
            The version of the weights.
        """
        with self._shared.newest() as (network, version):
            seen = [slab.observations[:count] for slab, count in requests]
            observations, memory = upload_joined(seen, self._device), None
            if network.spec.memory:
                states = [slab.memory[:count] for slab, count in requests]
                memory = upload_joined(states, self._device)
            output = network(observations, memory)
            values = network.denormalize(output.values)
            # One copy to the host, which waits for the device once.
            columns = torch.cat([values[:, None], output.parameters, output.memory], 1)
            results = columns.cpu().numpy()
        first, parameters = 0, network.spec.parameters
        for slab, count in requests:
            rows = results[first : first + count]
            slab.values[:count] = rows[:, 0]
            slab.parameters[:count] = rows[:, 1 : 1 + parameters]
            slab.next_memory[:count] = rows[:, 1 + parameters :]
            first += count
        return version
