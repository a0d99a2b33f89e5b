"""The actor-critic network."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabonk.errors import PolicyError
from metabonk.policy.spec import PolicySpec
from metabonk.settings.schema import NetworkKind


@dataclass(frozen=True)
class Shape:
    """What a kind of network is made of.

    Attributes:
        convolutions: channels, kernel and stride of each.
        features: units of the layer after them.
        activation: between layers.
        gain: of the initialisation that suits the activation.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    features: int
    activation: type[nn.Module]
    gain: float = math.sqrt(2)


SHAPES = {
    # The form of Sample Factory's at half its width: one core is to learn from some hundred
    # decisions a second.
    NetworkKind.SMALL: Shape(((16, 8, 4), (32, 4, 2), (64, 3, 2)), 256, nn.ReLU),
    # Mnih et al. 2015, "Human-level control through deep reinforcement learning".
    NetworkKind.NATURE: Shape(((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, nn.ReLU),
    # ``convnet_simple`` of Petrenko et al. 2020, with its ELU.
    NetworkKind.SAMPLE_FACTORY: Shape(((32, 8, 4), (64, 4, 2), (128, 3, 2)), 512, nn.ELU, 1.0),
}

SMALLEST_SIDE = 36
"""Pixels that the three convolutions of each kind need."""

SMALLEST_RETURN_SCALE = 1e-2


class Output(NamedTuple):
    """What the network says of N observations.

    Attributes:
        log_probs: of each action, normalised; ``[N, A]`` float32.
        values: of the state, in units of normalised returns; ``[N]`` float32.
    """

    log_probs: Tensor
    values: Tensor


class ActorCritic(nn.Module):
    """Policy and value from one picture.

    The spec names the kind of its convolutions. Initialised orthogonally, the policy nearly uniform
    (Andrychowicz et al. 2021, "What matters in on-policy RL?"). Pixels are centred on zero: without
    it, dark and bright pictures of one pattern differ to a new network by a factor only, and are
    told apart ten times later.

    The value head predicts normalised returns. ``adapt_returns`` follows their mean and scale and
    rescales the head so that what it says in reward units stays the same (PopArt, van Hasselt et
    al. 2016); so any game's rewards can be learned from without a scale found by hand.

    Args:
        spec: what it sees and can do.

    Raises:
        PolicyError: the observation is too small for the convolutions.
    """

    return_mean: Tensor
    return_square: Tensor
    return_scale: Tensor
    return_updates: Tensor

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        depth, height, width = spec.observation_shape
        if min(height, width) < SMALLEST_SIDE:
            raise PolicyError(
                f"observations of {height}×{width} are too small for the network, which needs "
                f"{SMALLEST_SIDE}×{SMALLEST_SIDE}"
            )
        shape = SHAPES[spec.network]
        layers: list[nn.Module] = []
        for channels, kernel, stride in shape.convolutions:
            layers += [nn.Conv2d(depth, channels, kernel, stride), shape.activation()]
            depth = channels
        self.convolution = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            picture = torch.zeros(1, *spec.observation_shape)
            flat = self.convolution(picture).shape[1]
        self.features = nn.Sequential(nn.Linear(flat, shape.features), shape.activation())
        self.policy_head = nn.Linear(shape.features, spec.actions)
        self.value_head = nn.Linear(shape.features, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, shape.gain)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.policy_head.weight, 0.01)
        nn.init.orthogonal_(self.value_head.weight, 1.0)
        # Double precision: the scale is a difference of squares.
        self.register_buffer("return_mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("return_square", torch.ones((), dtype=torch.float64))
        self.register_buffer("return_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("return_updates", torch.zeros((), dtype=torch.int64))

    def forward(self, observations: Tensor) -> Output:
        """What it says of N observations.

        Args:
            observations: ``[N, C, H, W]`` uint8.
        """
        pictures = observations.to(torch.float32).sub_(127.5).mul_(1 / 127.5)
        features = self.features(self.convolution(pictures))
        log_probs = torch.log_softmax(self.policy_head(features), dim=1)
        return Output(log_probs, self.value_head(features).squeeze(1))

    def normalise(self, returns: Tensor) -> Tensor:
        """Returns or values from reward units to what the value head predicts."""
        return ((returns - self.return_mean) / self.return_scale).to(torch.float32)

    def denormalise(self, values: Tensor) -> Tensor:
        """What the value head predicted, in reward units; float32."""
        return (values * self.return_scale + self.return_mean).to(torch.float32)

    @torch.no_grad()
    def set_return_scale(self, scale: float) -> None:
        """Fixes the scale by hand, for learning without ``adapt_returns``."""
        self.return_scale.fill_(scale)
        self.return_square.fill_(scale * scale)

    @torch.no_grad()
    def adapt_returns(self, returns: Tensor, rate: float) -> None:
        """Follows the mean and the scale of returns; values in reward units stay as they were.

        Args:
            returns: in reward units, any shape, finite.
            rate: weight of these against all before; the first ones are averaged evenly.
        """
        self.return_updates.add_(1)
        weight = max(rate, 1.0 / int(self.return_updates))
        returns = returns.to(torch.float64)
        old_mean, old_scale = self.return_mean.clone(), self.return_scale.clone()
        self.return_mean.lerp_(returns.mean(), weight)
        self.return_square.lerp_(returns.square().mean(), weight)
        variance = self.return_square - self.return_mean.square()
        self.return_scale.copy_(variance.clamp_min(SMALLEST_RETURN_SCALE**2).sqrt())
        ratio = old_scale / self.return_scale
        bias = (old_scale * self.value_head.bias + old_mean - self.return_mean) / self.return_scale
        self.value_head.weight.mul_(ratio.to(torch.float32))
        self.value_head.bias.copy_(bias.to(torch.float32))
