"""Distributions over actions, for learning; ``action_choice`` takes actions from them.

``…`` stands for any batch dimensions. Simultaneous choices are independent, so their
log-probabilities and entropies add up.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LOG_STD_LIMITS = (-5.0, 2.0)
"""Bounds on the log deviation on an axis of range 2: large enough that a step can't overflow the
ratio, small enough that actions aren't all clipped at the ends of the axis."""


class Distribution(ABC):
    """A batch of distributions over actions."""

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the log-probability (or log-density) of actions, ``[…]``."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Return the entropy in nats, ``[…]``."""

    @abstractmethod
    def probabilities(self) -> Tensor:
        """Return the probability of every option, ``[…, A]``; A is 0 for continuous actions."""


class Choices(Distribution):
    """Distributions over discrete options."""

    @abstractmethod
    def symmetric_kl(self) -> Tensor:
        """Return half of KL(policy ‖ uniform) + KL(uniform ‖ policy), ``[…]``.

        Unlike entropy, it grows without bound as an option's probability vanishes (Sample Factory's
        ``symmetric_kl_with_uniform_prior``).
        """


class Categorical(Choices):
    """One of A options; actions are ``[…]`` int64.

    Args:
        logits: ``[…, A]``, unnormalized.
    """

    def __init__(self, logits: Tensor) -> None:
        self.log_probs = functional.log_softmax(logits, -1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the log-probability, at most 0."""
        return self.log_probs.gather(-1, actions[..., None]).squeeze(-1).clamp(max=0.0)

    def entropy(self) -> Tensor:
        """Return the entropy, between 0 and log A."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def symmetric_kl(self) -> Tensor:
        """Return the symmetric KL divergence to uniform, at least 0."""
        above = self.log_probs + math.log(self.log_probs.shape[-1])
        return 0.5 * (self.log_probs.exp() * above).sum(-1) - 0.5 * above.mean(-1)

    def probabilities(self) -> Tensor:
        """Return the probability of every option, ``[…, A]``."""
        return self.log_probs.exp()


class MultiCategorical(Choices):
    """K simultaneous choices; actions are ``[…, K]`` int64.

    Args:
        logits: of the options of each choice in turn, ``[…, A]``.
        sizes: options of each choice, which sum to A.
    """

    def __init__(self, logits: Tensor, sizes: Sequence[int]) -> None:
        self._choices = [Categorical(part) for part in torch.split(logits, list(sizes), -1)]

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the log-probability of all choices together, at most 0."""
        parts = zip(self._choices, actions.unbind(-1), strict=True)
        return torch.stack([choice.log_prob(part) for choice, part in parts]).sum(0)

    def entropy(self) -> Tensor:
        """Return the entropy of all choices together."""
        return torch.stack([choice.entropy() for choice in self._choices]).sum(0)

    def symmetric_kl(self) -> Tensor:
        """Return the symmetric KL divergence of all choices together."""
        return torch.stack([choice.symmetric_kl() for choice in self._choices]).sum(0)

    def probabilities(self) -> Tensor:
        """Return the probabilities of the options of each choice in turn, ``[…, A]``."""
        return torch.cat([choice.probabilities() for choice in self._choices], -1)


class DiagonalGaussian(Distribution):
    """K independent normal distributions; actions are ``[…, K]`` float32.

    Args:
        parameters: means, then log deviations, ``[…, 2K]``.

    Attributes:
        mean: ``[…, K]``.
    """

    def __init__(self, parameters: Tensor) -> None:
        self.mean, log_std = parameters.chunk(2, -1)
        self._log_std = log_std.clamp(*LOG_STD_LIMITS)

    @property
    def std(self) -> Tensor:
        """Standard deviations, ``[…, K]``."""
        return self._log_std.exp()

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the log-density, which may be above 0."""
        distance = (actions - self.mean) * (-self._log_std).exp()
        return (-0.5 * distance.square() - self._log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Return the differential entropy, which may be below 0."""
        return (self._log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def probabilities(self) -> Tensor:
        """Return none: ``[…, 0]``."""
        return self.mean[..., :0]
