"""The actor-critic network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabonk.games import ActionKind
from metabonk.policy.distributions import LOG_STD_LIMITS
from metabonk.policy.encoders import feature_size, make_encoder
from metabonk.policy.recurrent import RecurrentLayer
from metabonk.policy.spec import PolicySpec

MIN_SCALE = 1e-2
"""Lower bound on the scale of returns and vector observations, for those that never vary."""

MAX_DEVIATION = 10.0
"""Standard deviations at which normalized vector observations are clipped."""

MAX_NORMALIZED_RETURN = 5.0
"""Bound on normalized returns, as in Sample Factory."""

INITIAL_LOG_STD = -0.5
"""Log deviation of a new policy on an axis of range 2 (Andrychowicz et al. 2021)."""


class Output(NamedTuple):
    """Output of the network for N observations.

    Attributes:
        parameters: for ``PolicySpec.distribution``, ``[N, P]`` float32.
        values: in units of normalized returns, ``[N]`` float32.
        memory: recurrent state after the observations, ``[N, H]`` float32; H is 0 without one.
    """

    parameters: Tensor
    values: Tensor
    memory: Tensor


class ActorCritic(nn.Module):
    """Policy and value of an observation, and of a recurrent state if there is one.

    Initialized orthogonally, with a nearly uniform policy (Andrychowicz et al. 2021, "What matters
    in on-policy RL?"). Pixels are centered on zero: otherwise dark and bright images of one pattern
    are nearly proportional for a new network, which takes ten times longer to tell them apart.
    Vectors are normalized by running statistics (``update_obs_stats``).

    The value head predicts normalized returns. ``update_return_stats`` tracks their mean and scale
    and rescales the head so that its output in reward units is preserved (PopArt, van Hasselt et
    al. 2016): any game's rewards can be learned from without tuning a scale. The scale follows
    returns that are far beyond it at once and shrinks slowly: otherwise the first reward after a
    long time without any would be a target so large that its gradient drowns the policy's.

    Args:
        spec: of the policy.

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
        features = feature_size(spec.network, spec.mlp_layers)
        self.encoder = make_encoder(spec.network, spec.observation_shape, spec.mlp_layers)
        self.memory = RecurrentLayer(features, spec.memory) if spec.memory else None
        self.policy_head = nn.Linear(spec.memory or features, spec.actions)
        self.value_head = nn.Linear(spec.memory or features, 1)
        self.log_std = None
        if spec.action_kind is ActionKind.CONTINUOUS:
            self.log_std = nn.Parameter(torch.full((spec.actions,), INITIAL_LOG_STD))
        for head, gain in ((self.policy_head, 0.01), (self.value_head, 1.0)):
            nn.init.orthogonal_(head.weight, gain)
            nn.init.zeros_(head.bias)
        # Double precision: the variance is a difference of squares.
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
        """Number of parameters of the action distribution, P."""
        return self.policy_head.out_features * (1 if self.log_std is None else 2)

    def forward(self, observations: Tensor, memory: Tensor | None = None) -> Output:
        """Compute the output for N observations.

        Args:
            observations: ``[N, …]``, by the spec.
            memory: recurrent state before them, ``[N, H]``; None: zeros.
        """
        features = self.encode(observations)
        return self.heads(features if self.memory is None else self.memory.step(features, memory))

    def encode(self, observations: Tensor) -> Tensor:
        """Compute the features of N observations, ``[N, F]``, before the recurrent layer."""
        encoded: Tensor = self.encoder(self._normalize_obs(observations))
        return encoded

    def heads(self, features: Tensor) -> Output:
        """Compute policy and value from features, or from the recurrent state after them.

        Args:
            features: ``[…, F]`` from ``encode``; if recurrent, ``[…, H]``.

        Returns:
            The output, with the leading dimensions of ``features``.
        """
        parameters = self.policy_head(features)
        if self.log_std is not None:
            parameters = torch.cat([parameters, self.log_std.expand_as(parameters)], -1)
        memory = features[..., :0] if self.memory is None else features
        return Output(parameters, self.value_head(features).squeeze(-1), memory)

    @torch.no_grad()
    def clamp_log_std(self) -> None:
        """Move log deviations beyond ``LOG_STD_LIMITS`` back to them; call after gradient steps.

        Distributions clamp them as well, but a parameter out there has no gradient to return by.
        """
        if self.log_std is not None:
            self.log_std.clamp_(*LOG_STD_LIMITS)

    def _normalize_obs(self, observations: Tensor) -> Tensor:
        if self.spec.network != "mlp":
            return observations.to(torch.float32).sub_(127.5).mul_(1 / 127.5)
        scale = self.observation_variance.sqrt().clamp_min(MIN_SCALE)
        normalized = (observations - self.observation_mean) / scale
        return normalized.clamp(-MAX_DEVIATION, MAX_DEVIATION).to(torch.float32)

    @torch.no_grad()
    def update_obs_stats(self, observations: Tensor) -> None:
        """Update the running mean and variance of vector observations; images need none.

        All observations count equally (Chan et al. 1979, the parallel algorithm).

        Args:
            observations: ``[N, …]``, finite, N at least 1.
        """
        if self.spec.network != "mlp":
            return
        numbers = observations.to(torch.float64)
        count = len(numbers)
        total = self.observation_count + count
        distance = numbers.mean(0) - self.observation_mean
        before = self.observation_variance * self.observation_count
        between = distance.square() * self.observation_count * count / total
        within = numbers.var(0, unbiased=False) * count
        self.observation_variance.copy_((before + within + between) / total)
        self.observation_mean.add_(distance * count / total)
        self.observation_count.copy_(total)

    def normalize(self, returns: Tensor) -> Tensor:
        """Convert returns or values from reward units to those of the value head."""
        return ((returns - self.return_mean) / self.return_scale).to(torch.float32)

    def denormalize(self, values: Tensor) -> Tensor:
        """Convert the value head's output to reward units, float32."""
        return (values * self.return_scale + self.return_mean).to(torch.float32)

    @torch.no_grad()
    def set_return_scale(self, scale: float) -> None:
        """Set a fixed scale, for learning without ``update_return_stats``."""
        self.return_scale.fill_(scale)
        self.return_square.fill_(scale * scale)

    @torch.no_grad()
    def update_return_stats(self, returns: Tensor, rate: float) -> None:
        """Update the mean and scale of returns, preserving values in reward units.

        None of these returns is then beyond ``MAX_NORMALIZED_RETURN``.

        Args:
            returns: in reward units, any shape, finite.
            rate: weight against earlier returns; the first updates are averaged evenly.
        """
        self.return_updates.add_(1)
        weight = self.return_updates.to(torch.float64).reciprocal().clamp(min=rate)
        returns = returns.to(torch.float64)
        old_mean, old_scale = self.return_mean.clone(), self.return_scale.clone()
        self.return_mean.lerp_(returns.mean(), weight)
        self.return_square.lerp_(returns.square().mean(), weight)
        square_of_mean = self.return_mean.square()
        farthest = (returns - self.return_mean).abs().max() / MAX_NORMALIZED_RETURN
        self.return_square.clamp_(min=square_of_mean + farthest.square())
        variance = self.return_square - square_of_mean
        self.return_scale.copy_(variance.clamp_min(MIN_SCALE**2).sqrt())
        ratio = old_scale / self.return_scale
        bias = (old_scale * self.value_head.bias + old_mean - self.return_mean) / self.return_scale
        self.value_head.weight.mul_(ratio.to(torch.float32))
        self.value_head.bias.copy_(bias.to(torch.float32))
