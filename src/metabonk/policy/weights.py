"""A network's weights as bytes, and back."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field

from metabonk.errors import PolicyError
from metabonk.messages import LARGEST_COUNT
from metabonk.policy.network import ActorCritic
from metabonk.policy.serialization import Array, pack, unpack
from metabonk.policy.spec import PolicySpec

NETWORK = "network/"
"""Prefix of the names of a network's tensors, in weights as in checkpoints."""


class WeightsHeader(BaseModel):
    """What weights say of themselves; a checkpoint says the same and more.

    Attributes:
        kind: tells them from rollouts.
        version: updates that led to them.
        spec: what they are for.
    """

    kind: Literal["weights", "checkpoint"] = "weights"
    version: int = Field(ge=0, le=LARGEST_COUNT)
    spec: PolicySpec


class Weights(NamedTuple):
    """Decoded weights.

    Attributes:
        version: updates that led to them.
        spec: what they are for.
        tensors: by their names in the network.
    """

    version: int
    spec: PolicySpec
    tensors: dict[str, Array]


def network_arrays(network: ActorCritic) -> dict[str, Array]:
    """The network's parameters and buffers under the names they travel with."""
    return {NETWORK + name: t.detach().cpu().numpy() for name, t in network.state_dict().items()}


def encode_weights(network: ActorCritic, version: int) -> bytes:
    """The weights of a network as safetensors."""
    return pack(network_arrays(network), WeightsHeader(version=version, spec=network.spec))


def decode_weights(data: bytes) -> Weights:
    """Weights from ``encode_weights`` or from a whole checkpoint file.

    Raises:
        WireError: they can't be read.
    """
    arrays, header = unpack(data, WeightsHeader)
    tensors = {
        name.removeprefix(NETWORK): array
        for name, array in arrays.items()
        if name.startswith(NETWORK)
    }
    return Weights(header.version, header.spec, tensors)


def load_weights(network: ActorCritic, data: bytes) -> int:
    """Puts weights into a network; nothing changes when they don't fit.

    Returns:
        Their version.

    Raises:
        WireError: they can't be read.
        PolicyError: they are for another game or network, or aren't finite.
    """
    weights = decode_weights(data)
    if difference := network.spec.difference(weights.spec):
        raise PolicyError(f"the weights of version {weights.version} don't fit: {difference}")
    put_tensors(network, weights.tensors, f"the weights of version {weights.version}")
    return weights.version


def put_tensors(network: ActorCritic, tensors: dict[str, Array], what: str) -> None:
    """Puts arrays into a network by name; nothing changes when they don't fit.

    Args:
        network: takes them.
        tensors: by their names in the network.
        what: they are, for messages.

    Raises:
        PolicyError: a name, shape or type differs, or a number isn't finite.
    """
    state = network.state_dict()
    if missing := sorted(state.keys() ^ tensors.keys()):
        raise PolicyError(f"{what} are of another network: {', '.join(missing[:5])} differ")
    for name, current in state.items():
        array = tensors[name]
        if array.shape != tuple(current.shape) or torch.from_numpy(array).dtype != current.dtype:
            raise PolicyError(
                f"{what} are of another network: {name} is {array.dtype} {array.shape}, "
                f"not {current.dtype} {tuple(current.shape)}"
            )
        if not np.isfinite(array).all():
            raise PolicyError(f"{what} are spoilt: {name} holds numbers that are not finite")
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
