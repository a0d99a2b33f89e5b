"""Forward passes of the network, whichever process makes them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.games import Observation
from metabonk.policy.device_observation import DeviceObservation
from metabonk.policy.shared_network import SharedNetwork


class Forward(NamedTuple):
    """Output of the network for N observations, in host memory.

    Attributes:
        parameters: of the distributions, see ``choose``; ``[N, P]`` float32.
        values: expected discounted returns, in the game's reward units, ``[N]`` float32.
        memory: the recurrent state after the observations, ``[N, H]`` float32; H is 0 without one.
        version: of the weights.
    """

    parameters: NDArray[np.float32]
    values: NDArray[np.float32]
    memory: NDArray[np.float32]
    version: int


@torch.inference_mode()
def forward(
    shared: SharedNetwork, observations: Sequence[Observation], memory: NDArray[np.float32]
) -> Forward:
    """Make a forward pass with the newest weights, on the network's device.

    Args:
        shared: the network.
        observations: one for each game; those that are on the device already are not copied.
        memory: the recurrent states before them, ``[N, H]``.
    """
    with shared.newest() as (network, version):
        device = network.value_head.weight.device
        recurrent = torch.from_numpy(memory).to(device) if network.spec.memory else None
        output = network(_stacked(observations, device), recurrent)
        return Forward(
            output.parameters.cpu().numpy(),
            network.denormalize(output.values).cpu().numpy(),
            output.memory.cpu().numpy(),
            version,
        )


def _stacked(observations: Sequence[Observation], device: torch.device) -> torch.Tensor:
    """Return one batch on the device, without copying what is there already."""
    if not any(isinstance(each, DeviceObservation) for each in observations):
        return torch.from_numpy(np.stack(observations)).to(device)
    tensors = [
        each.tensor() if isinstance(each, DeviceObservation) else torch.from_numpy(np.asarray(each))
        for each in observations
    ]
    return torch.stack([tensor.to(device) for tensor in tensors])
