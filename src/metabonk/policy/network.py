"""The actor-critic network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabonk.games import ActionKind
from metabonk.policy.encoders import features_of, make_encoder
from metabonk.policy.spec import PolicySpec

SMALLEST_SCALE = 1e-2
"""Of returns and of observed numbers, so that ones which never differ are divided by something."""

LARGEST_NUMBER = 10.0
"""Deviations from the mean, where an observed number is cut off."""

FIRST_LOG_STD = -0.5
"""Of a new policy along an axis of range 2 (Andrychowicz et al. 2021)."""


class Output(NamedTuple):
    """What the network says of N observations.

    Attributes:
        parameters: for ``PolicySpec.distribution``; ``[N, P]`` float32.
        values: of the state, in units of normalised returns; ``[N]`` float32.
        memory: the recurrent state after them, ``[N, H]`` float32; H is 0 without one.
    """

    parameters: Tensor
    values: Tensor
    memory: Tensor


class ActorCritic(nn.Module):
    """Policy and value from one observation, and from what is remembered of earlier ones.

    Initialised orthogonally, the policy nearly uniform (Andrychowicz et al. 2021, "What matters in
    on-policy RL?"). Pixels are centred on zero: without it, dark and bright pictures of one pattern
    differ to a new network by a factor only, and are told apart ten times later. Rows of numbers
    are brought to mean 0 and deviation 1 by those that ``adapt_observations`` has followed.

    The value head predicts normalised returns. ``adapt_returns`` follows their mean and scale and
    rescales the head so that what it says in reward units stays the same (PopArt, van Hasselt et
    al. 2016); so any game's rewards can be learned from without a scale found by hand.

    Args:
        spec: what it sees and can do, and what it is made of.

    Raises:
        PolicyError: the observation is too small for the convolutions.
    """

    return_mean: Tensor
    return_square: Tensor
    return_scale: Tensor
    return_updates: Tensor
    observation_mean: Tensor
    observation_variance: Tensor
    observation_count: Tensor

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        features = features_of(spec.network)
        self.encoder = make_encoder(spec.network, spec.observation_shape)
        self.memory = nn.GRUCell(features, spec.memory) if spec.memory else None
        self.policy_head = nn.Linear(spec.memory or features, spec.actions)
        self.value_head = nn.Linear(spec.memory or features, 1)
        self.log_std = None
        if spec.action_kind is ActionKind.CONTINUOUS:
            self.log_std = nn.Parameter(torch.full((spec.actions,), FIRST_LOG_STD))
        if self.memory is not None:
            for name, parameter in self.memory.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                else:
                    for gate in parameter.data.chunk(3):
                        nn.init.orthogonal_(gate)
        for head, gain in ((self.policy_head, 0.01), (self.value_head, 1.0)):
            nn.init.orthogonal_(head.weight, gain)
            nn.init.zeros_(head.bias)
        # Double precision: the scale is a difference of squares.
        self.register_buffer("return_mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("return_square", torch.ones((), dtype=torch.float64))
        self.register_buffer("return_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("return_updates", torch.zeros((), dtype=torch.int64))
        if spec.network == "mlp":
            shape = spec.observation_shape
            self.register_buffer("observation_mean", torch.zeros(shape, dtype=torch.float64))
            self.register_buffer("observation_variance", torch.ones(shape, dtype=torch.float64))
            self.register_buffer("observation_count", torch.zeros((), dtype=torch.int64))

    @property
    def parameter_count(self) -> int:
        """How many parameters its policy has for each observation, P."""
        return self.policy_head.out_features * (1 if self.log_std is None else 2)

    def forward(self, observations: Tensor, memory: Tensor | None = None) -> Output:
        """What it says of N observations, each after a past of its own.

        Args:
            observations: ``[N, …]``, as the spec says.
            memory: the recurrent state before them, ``[N, H]``; None: nothing is remembered.
        """
        features = self.encode(observations)
        return self.conclude(features if self.memory is None else self.memory(features, memory))

    def encode(self, observations: Tensor) -> Tensor:
        """Features of N observations, ``[N, F]``, before anything is remembered."""
        encoded: Tensor = self.encoder(self._normalised(observations))
        return encoded

    def unroll(self, features: Tensor, memory: Tensor, begins: Tensor) -> Tensor:
        """What it remembers along B sequences of L observations; only with a memory.

        Args:
            features: from ``encode``; ``[L, B, F]``.
            memory: the recurrent state before the first of each sequence; ``[B, H]``.
            begins: the observation is the first of its episode, so nothing is remembered;
                ``[L, B]`` bool. For the first of a sequence ``memory`` says so.

        Returns:
            The recurrent state after each observation, ``[L, B, H]``.
        """
        assert self.memory is not None, "only a network with a memory is unrolled"
        kept = (~begins).to(memory.dtype)[..., None]
        states = []
        for step, seen in enumerate(features):
            memory = self.memory(seen, memory * kept[step] if step else memory)
            states.append(memory)
        return torch.stack(states)

    def conclude(self, features: Tensor) -> Output:
        """What follows from features, or with a memory from the recurrent state after them.

        Args:
            features: ``[…, F]`` from ``encode``; with a memory ``[…, H]``.

        Returns:
            With the leading dimensions of ``features``.
        """
        parameters = self.policy_head(features)
        if self.log_std is not None:
            parameters = torch.cat([parameters, self.log_std.expand_as(parameters)], -1)
        memory = features[..., :0] if self.memory is None else features
        return Output(parameters, self.value_head(features).squeeze(-1), memory)

    def _normalised(self, observations: Tensor) -> Tensor:
        if self.spec.network != "mlp":
            return observations.to(torch.float32).sub_(127.5).mul_(1 / 127.5)
        scale = self.observation_variance.sqrt().clamp_min(SMALLEST_SCALE)
        numbers = (observations - self.observation_mean) / scale
        return numbers.clamp(-LARGEST_NUMBER, LARGEST_NUMBER).to(torch.float32)

    @torch.no_grad()
    def adapt_observations(self, observations: Tensor) -> None:
        """Follows the mean and variance of rows of numbers; pictures need it not.

        All that were ever seen count the same (Chan et al. 1979, the parallel algorithm).

        Args:
            observations: ``[N, …]``, finite, N at least 1.
        """
        if self.spec.network != "mlp":
            return
        numbers = observations.to(torch.float64)
        count = len(numbers)
        total = int(self.observation_count) + count
        distance = numbers.mean(0) - self.observation_mean
        before = self.observation_variance * self.observation_count
        between = distance.square() * self.observation_count * count / total
        within = numbers.var(0, unbiased=False) * count
        self.observation_variance.copy_((before + within + between) / total)
        self.observation_mean.add_(distance * count / total)
        self.observation_count.fill_(total)

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
        self.return_scale.copy_(variance.clamp_min(SMALLEST_SCALE**2).sqrt())
        ratio = old_scale / self.return_scale
        bias = (old_scale * self.value_head.bias + old_mean - self.return_mean) / self.return_scale
        self.value_head.weight.mul_(ratio.to(torch.float32))
        self.value_head.bias.copy_(bias.to(torch.float32))
