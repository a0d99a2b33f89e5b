"""What turns an observation into features: convolutions for pictures, a perceptron for numbers."""

import math
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from metabonk.errors import PolicyError

Network = Literal["small", "sample_factory", "nature", "mlp"]


class Convolution(NamedTuple):
    """A stack of convolutions and the layer after it.

    Attributes:
        layers: output channels, side of the kernel and stride of each.
        features: that the last layer, a linear one, has.
        activation: after every layer.
        gain: of the initialisation that suits the activation.
    """

    layers: tuple[tuple[int, int, int], ...]
    features: int
    activation: type[nn.ReLU] | type[nn.ELU]
    gain: float = math.sqrt(2)

    @property
    def smallest_side(self) -> int:
        """Pixels that it needs in height and in width."""
        side = 1
        for _, kernel, stride in reversed(self.layers):
            side = (side - 1) * stride + kernel
        return side


CONVOLUTIONS: dict[Network, Convolution] = {
    # The form of Sample Factory's with half its width, since one core is to learn from some hundred
    # decisions a second.
    "small": Convolution(((16, 8, 4), (32, 4, 2), (64, 3, 2)), 256, nn.ReLU),
    # Petrenko et al. 2020: convnet_simple with one layer of 512, ELU, as in its ViZDoom examples.
    "sample_factory": Convolution(((32, 8, 4), (64, 4, 2), (128, 3, 2)), 512, nn.ELU, 1.0),
    # Mnih et al. 2015, "Human-level control through deep reinforcement learning".
    "nature": Convolution(((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, nn.ReLU),
}

HIDDEN = 128
"""Width of the perceptron's two layers. Tanh, which Andrychowicz et al. 2021 found best for
control."""


class ChannelsFirst(nn.Module):
    """From ``[N, H, W, C]`` to ``[N, C, H, W]``, as convolutions count them.

    Nothing is moved: with a pixel's channels side by side in memory they learn a tenth faster on a
    processor.
    """

    def forward(self, pictures: Tensor) -> Tensor:
        """The same numbers under another shape."""
        return pictures.permute(0, 3, 1, 2)


def features_of(network: Network) -> int:
    """How many features a network makes of an observation."""
    return HIDDEN if network == "mlp" else CONVOLUTIONS[network].features


def make_encoder(network: Network, observation_shape: tuple[int, ...]) -> nn.Sequential:
    """From float32 observations ``[N, …]``, normalised, to features ``[N, F]``.

    Initialised orthogonally.

    Raises:
        PolicyError: the observation is too small for the convolutions.
    """
    if network == "mlp":
        (numbers,) = observation_shape
        perceptron = nn.Sequential(
            nn.Linear(numbers, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()
        )
        return _initialised(perceptron, math.sqrt(2))
    convolution = CONVOLUTIONS[network]
    height, width, depth = observation_shape
    smallest = convolution.smallest_side
    if min(height, width) < smallest:
        raise PolicyError(
            f"observations of {height}×{width} are too small for the network {network}, which "
            f"needs {smallest}×{smallest}"
        )
    # In place, an ELU needs no exponential to go back either.
    activation = partial(convolution.activation, inplace=True)
    modules: list[nn.Module] = [ChannelsFirst()]
    for channels, kernel, stride in convolution.layers:
        modules += [nn.Conv2d(depth, channels, kernel, stride), activation()]
        depth = channels
    modules.append(nn.Flatten())
    with torch.no_grad():
        flat = nn.Sequential(*modules)(torch.zeros(1, *observation_shape)).shape[1]
    modules += [nn.Linear(flat, convolution.features), activation()]
    return _initialised(nn.Sequential(*modules), convolution.gain)


def _initialised(encoder: nn.Sequential, gain: float) -> nn.Sequential:
    for module in encoder:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, gain)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return encoder
