"""A network's weights as bytes, and back."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field

from metabonk.errors import PolicyError
from metabonk.messages.base import LARGEST_COUNT
from metabonk.policy.network import ActorCritic
from metabonk.policy.serialization import Array, pack, unpack
from metabonk.policy.spec import PolicySpec
from metabonk.policy.transfer import download

NETWORK = "network/"
"""Prefix of the names of a network's tensors in weights and checkpoints."""

RENAMED = re.compile(r"\bmemory\.((?:weight|bias)_[ih]h)$")
"""Names of the recurrent layer's tensors in version 0.2, where each now ends in ``_l0``."""


class WeightsHeader(BaseModel):
    """Header of weights, extended by that of checkpoints.

    Attributes:
        kind: distinguishes weights from rollouts.
        version: number of updates behind them.
        spec: of their policy.
    """

    kind: Literal["weights", "checkpoint"] = "weights"
    version: int = Field(ge=0, le=LARGEST_COUNT)
    spec: PolicySpec


class Weights(NamedTuple):
    """Decoded weights.

    Attributes:
        version: number of updates behind them.
        spec: of their policy.
        tensors: by name in the network.
    """

    version: int
    spec: PolicySpec
    tensors: dict[str, Array]


def network_arrays(network: ActorCritic) -> dict[str, Array]:
    """Return the network's parameters and buffers under their serialized names."""
    return download({NETWORK + name: tensor for name, tensor in network.state_dict().items()})


def encode_weights(network: ActorCritic, version: int) -> bytes:
    """Encode the weights of a network as safetensors."""
    return pack(network_arrays(network), WeightsHeader(version=version, spec=network.spec))


def decode_weights(data: bytes) -> Weights:
    """Decode weights from ``encode_weights`` or from a checkpoint file.

    Raises:
        WireError: they are unreadable.
    """
    arrays, header = unpack(data, WeightsHeader)
    return Weights(header.version, header.spec, network_tensors(arrays))


def network_tensors(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a network among those of weights or a checkpoint, by name in it."""
    return {
        name.removeprefix(NETWORK): array
        for name, array in with_current_names(arrays).items()
        if name.startswith(NETWORK)
    }


def with_current_names(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays with the names of earlier versions replaced."""
    return {RENAMED.sub(r"memory.\1_l0", name): array for name, array in arrays.items()}


def load_weights(network: ActorCritic, data: bytes) -> int:
    """Load weights into a network, which is unchanged if they don't fit.

    Returns:
        Their version.

    Raises:
        WireError: they are unreadable.
        PolicyError: they are for another game or network, or are not finite.
    """
    weights = decode_weights(data)
    if difference := network.spec.difference(weights.spec):
        raise PolicyError(f"the weights of version {weights.version} don't fit: {difference}")
    load_arrays(network, weights.tensors, f"the weights of version {weights.version}")
    return weights.version


def load_arrays(network: ActorCritic, tensors: dict[str, Array], what: str) -> None:
    """Load arrays into a network by name; it is unchanged if they don't fit.

    Args:
        network: to load into.
        tensors: by name in the network.
        what: the subject of messages.

    Raises:
        PolicyError: a name, shape or dtype differs, or a value is not finite.
    """
    state = network.state_dict()
    if missing := sorted(state.keys() ^ tensors.keys()):
        raise PolicyError(
            f"{what} are of another network, which differs in {', '.join(missing[:5])}"
        )
    for name, current in state.items():
        array = tensors[name]
        if array.shape != tuple(current.shape) or torch.from_numpy(array).dtype != current.dtype:
            raise PolicyError(
                f"{what} are of another network: {name} is {array.dtype} {array.shape}, "
                f"not {current.dtype} {tuple(current.shape)}"
            )
        if not np.isfinite(array).all():
            raise PolicyError(f"{what} are invalid: {name} has values that are not finite")
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
