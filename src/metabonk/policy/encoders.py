"""Encoders from observations to features: convolutions for images, an MLP for vectors."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from metabonk.errors import PolicyError

Network = Literal["small", "sample_factory", "nature", "mlp"]


class Convolution(NamedTuple):
    """Convolutional layers and the linear layer after them.

    Attributes:
        layers: output channels, kernel size and stride of each.
        features: output size of the linear layer.
        activation: after every layer.
        gain: of the orthogonal initialization.
    """

    layers: tuple[tuple[int, int, int], ...]
    features: int
    activation: type[nn.ReLU] | type[nn.ELU]
    gain: float = math.sqrt(2)

    @property
    def min_side(self) -> int:
        """Smallest height and width that the layers accept, pixels."""
        side = 1
        for _, kernel, stride in reversed(self.layers):
            side = (side - 1) * stride + kernel
        return side


CONVOLUTIONS: dict[Network, Convolution] = {
    # Sample Factory's at half its width: one core has to train on a few hundred steps a second.
    "small": Convolution(((16, 8, 4), (32, 4, 2), (64, 3, 2)), 256, nn.ReLU),
    # Petrenko et al. 2020: convnet_simple with one layer of 512, ELU, as in its ViZDoom examples.
    "sample_factory": Convolution(((32, 8, 4), (64, 4, 2), (128, 3, 2)), 512, nn.ELU, 1.0),
    # Mnih et al. 2015, "Human-level control through deep reinforcement learning".
    "nature": Convolution(((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, nn.ReLU),
}


class ChannelsFirst(nn.Module):
    """Permutation from ``[N, H, W, C]`` to ``[N, C, H, W]``.

    Only a view: on a CPU, convolutions train a tenth faster with a pixel's channels adjacent in
    memory.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Permute the dimensions."""
        return images.permute(0, 3, 1, 2)


def feature_size(network: Network, mlp_layers: Sequence[int]) -> int:
    """Return the number of features that an encoder makes; see ``make_encoder``."""
    return mlp_layers[-1] if network == "mlp" else CONVOLUTIONS[network].features


def make_encoder(
    network: Network, observation_shape: tuple[int, ...], mlp_layers: Sequence[int] = ()
) -> nn.Sequential:
    """Create an encoder from normalized float32 observations ``[N, …]`` to features ``[N, F]``.

    Initialized orthogonally.

    Args:
        network: which one.
        observation_shape: of an observation.
        mlp_layers: sizes of the layers of ``mlp``.

    Raises:
        PolicyError: the observation is too small for the convolutions.
    """
    if network == "mlp":
        sizes = [*observation_shape, *mlp_layers]
        # Tanh was found best for control (Andrychowicz et al. 2021).
        layers = [(nn.Linear(size, width), nn.Tanh()) for size, width in pairwise(sizes)]
        return _initialize(nn.Sequential(*chain.from_iterable(layers)), math.sqrt(2))
    convolution = CONVOLUTIONS[network]
    height, width, depth = observation_shape
    smallest = convolution.min_side
    if min(height, width) < smallest:
        raise PolicyError(
            f"observations of {height}×{width} are too small for the network {network}; it needs "
            f"at least {smallest}×{smallest}"
        )
    # In place, the backward pass of an ELU needs no exponential.
    activation = partial(convolution.activation, inplace=True)
    modules: list[nn.Module] = [ChannelsFirst()]
    for channels, kernel, stride in convolution.layers:
        modules += [nn.Conv2d(depth, channels, kernel, stride), activation()]
        depth = channels
    modules.append(nn.Flatten())
    with torch.no_grad():
        flat = nn.Sequential(*modules)(torch.zeros(1, *observation_shape)).shape[1]
    modules += [nn.Linear(flat, convolution.features), activation()]
    return _initialize(nn.Sequential(*modules), convolution.gain)


def _initialize(encoder: nn.Sequential, gain: float) -> nn.Sequential:
    for module in encoder:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, gain)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return encoder
