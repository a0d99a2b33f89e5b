"""What a policy may do, as distributions over actions.

``…`` stands for any batch dimensions. Choices that are made at once are independent of each other,
so their log-probabilities and entropies add up.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LOG_STD_LIMITS = (-5.0, 2.0)
"""Of the deviation along an axis, whose range is 2: never so small that one step overflows a ratio,
never so large that all actions are cut off at an end of the axis."""


class Distribution(ABC):
    """Distributions over actions, one for each place in the batch."""

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor:
        """Natural logarithm of the probability (or density) of these actions, ``[…]``."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """In nats, ``[…]``."""

    @abstractmethod
    def probabilities(self) -> Tensor:
        """Of every option, ``[…, A]``; along axes, where there are none, A is 0."""

    @abstractmethod
    def draw(self, randoms: Sequence[np.random.Generator]) -> NDArray[Any]:
        """Chooses an action for each of N, each with a generator of its own.

        Only on the processor.
        """

    @abstractmethod
    def likeliest(self) -> NDArray[Any]:
        """The likeliest action for each of N. Only on the processor."""


class Choices(Distribution):
    """Distributions over options that can be counted."""

    @abstractmethod
    def symmetric_kl(self) -> Tensor:
        """Half of KL(policy ‖ uniform) + KL(uniform ‖ policy), ``[…]``.

        It grows without bound as an option is given up, where entropy levels off (Sample Factory's
        ``symmetric_kl_with_uniform_prior``).
        """


class Categorical(Choices):
    """One of A options; actions are ``[…]`` int64.

    Args:
        logits: ``[…, A]``, of any scale.
    """

    def __init__(self, logits: Tensor) -> None:
        self.log_probs = functional.log_softmax(logits, -1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Never above 0."""
        return self.log_probs.gather(-1, actions[..., None]).squeeze(-1).clamp(max=0.0)

    def entropy(self) -> Tensor:
        """Between 0 and log A."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def symmetric_kl(self) -> Tensor:
        """Never below 0."""
        above = self.log_probs + math.log(self.log_probs.shape[-1])
        return 0.5 * (self.log_probs.exp() * above).sum(-1) - 0.5 * above.mean(-1)

    def probabilities(self) -> Tensor:
        """Of every option, ``[…, A]``."""
        return self.log_probs.exp()

    def draw(self, randoms: Sequence[np.random.Generator]) -> NDArray[Any]:
        """``[N]`` int64."""
        return self.at(np.array([random.random() for random in randoms]))

    def likeliest(self) -> NDArray[Any]:
        """``[N]`` int64."""
        likeliest: NDArray[Any] = self.log_probs.argmax(-1).numpy()
        return likeliest

    def at(self, quantiles: NDArray[np.float64]) -> NDArray[Any]:
        """The options at these places, 0 to 1, of the cumulative distribution; ``[N]`` int64."""
        cumulative = np.cumsum(self.probabilities().numpy(), axis=-1, dtype=np.float64)
        # Scaled by the sum, which rounding leaves a little off 1.
        passed = cumulative <= (quantiles * cumulative[:, -1])[:, None]
        chosen: NDArray[Any] = np.minimum(passed.sum(axis=-1), cumulative.shape[-1] - 1)
        return chosen


class MultiCategorical(Choices):
    """K choices at once; actions are ``[…, K]`` int64.

    Args:
        logits: of the options of each choice in turn, ``[…, A]``.
        sizes: how many options each choice has; they add up to A.
    """

    def __init__(self, logits: Tensor, sizes: Sequence[int]) -> None:
        self._choices = [Categorical(part) for part in torch.split(logits, list(sizes), -1)]

    def log_prob(self, actions: Tensor) -> Tensor:
        """Never above 0."""
        parts = zip(self._choices, actions.unbind(-1), strict=True)
        return torch.stack([choice.log_prob(part) for choice, part in parts]).sum(0)

    def entropy(self) -> Tensor:
        """Of all choices together."""
        return torch.stack([choice.entropy() for choice in self._choices]).sum(0)

    def symmetric_kl(self) -> Tensor:
        """Of all choices together."""
        return torch.stack([choice.symmetric_kl() for choice in self._choices]).sum(0)

    def probabilities(self) -> Tensor:
        """Of the options of each choice in turn, ``[…, A]``."""
        return torch.cat([choice.probabilities() for choice in self._choices], -1)

    def draw(self, randoms: Sequence[np.random.Generator]) -> NDArray[Any]:
        """``[N, K]`` int64."""
        quantiles = np.stack([random.random(len(self._choices)) for random in randoms])
        return np.stack([c.at(quantiles[:, k]) for k, c in enumerate(self._choices)], -1)

    def likeliest(self) -> NDArray[Any]:
        """``[N, K]`` int64."""
        return np.stack([choice.likeliest() for choice in self._choices], -1)


class DiagonalGaussian(Distribution):
    """K independent normal distributions; actions are ``[…, K]`` float32.

    Args:
        parameters: the means, then the logarithms of the deviations; ``[…, 2K]``.
    """

    def __init__(self, parameters: Tensor) -> None:
        self._mean, log_std = parameters.chunk(2, -1)
        self._log_std = log_std.clamp(*LOG_STD_LIMITS)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Of the density, so it may be above 0."""
        distance = (actions - self._mean) * (-self._log_std).exp()
        return (-0.5 * distance.square() - self._log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Of the density, so it may be below 0."""
        return (self._log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def probabilities(self) -> Tensor:
        """None: ``[…, 0]``."""
        return self._mean[..., :0]

    def draw(self, randoms: Sequence[np.random.Generator]) -> NDArray[Any]:
        """``[N, K]`` float32."""
        noise = np.stack([random.standard_normal(self._mean.shape[-1]) for random in randoms])
        return (self._mean.numpy() + self._log_std.exp().numpy() * noise).astype(np.float32)

    def likeliest(self) -> NDArray[Any]:
        """The means, ``[N, K]`` float32."""
        mean: NDArray[np.float32] = self._mean.numpy()
        return mean
