"""One gradient step of PPO, which never waits for a GPU."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from metabonk.learner.losses import surrogate, value_loss
from metabonk.policy import ActorCritic
from metabonk.policy.distributions import Choices, Distribution
from metabonk.policy.network import Output
from metabonk.settings.learning import Learning

KL_MARGIN = 1.5
"""An update ends beyond this multiple of ``target_kl`` (as in Stable-Baselines3)."""

WEIGHTED = 4
"""The first terms of a report are those of the loss."""


class Targets(NamedTuple):
    """Targets of N steps.

    Attributes:
        actions: by the spec, ``[N, …]``.
        behaviour: log-probabilities of the actions under the behaviour policy, ``[N]``.
        advantages: normalized, ``[N]``.
        returns: normalized, ``[N]``.
        old_values: predictions before the update, normalized, ``[N]``.
    """

    actions: Tensor
    behaviour: Tensor
    advantages: Tensor
    returns: Tensor
    old_values: Tensor

    def at(self, steps: Tensor) -> "Targets":
        """Return those of the steps with these indices."""
        return Targets(*(each.index_select(0, steps) for each in self))


class Report(NamedTuple):
    """Result of a gradient step: means over its steps, and whether it was taken.

    Attributes:
        policy: loss of the policy.
        value: loss of the values.
        exploration: term that rewards exploration.
        kl: divergence from the behaviour policy.
        entropy: of the policy.
        clip_fraction: share of steps whose ratio is outside the clip range.
        loss: of which the gradient was taken.
        grad_norm: its norm before it was clipped.
        stopped: 1 if the policy had moved far enough, here or before; then nothing changed.
        withheld: 1 if nothing changed, for that reason or since the gradient is not finite.
    """

    policy: float
    value: float
    exploration: float
    kl: float
    entropy: float
    clip_fraction: float
    loss: float
    grad_norm: float
    stopped: float
    withheld: float

    @property
    def skipped(self) -> bool:
        """True if the step was not taken because its gradient is not finite."""
        return bool(self.withheld) and not self.stopped

    @property
    def taken(self) -> bool:
        """True if the step changed the weights."""
        return not self.withheld and not self.stopped


class GradientStep:
    """Gradient steps on minibatches, whose losses and reasons not to be taken stay on the device.

    A step whose gradient is not finite is withheld from the weights by the optimizer itself, and
    so are all those of an update after the policy has moved beyond ``target_kl``.

    Args:
        network: to change.
        optimizer: of the network: Adam, fused.
        settings: of learning.
    """

    def __init__(
        self, network: ActorCritic, optimizer: torch.optim.Adam, settings: Learning
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._settings = settings
        self._kl_limit = KL_MARGIN * settings.target_kl
        device = next(network.parameters()).device
        coefficients = (
            1.0,
            settings.value_coefficient,
            -settings.entropy_coefficient,
            settings.kl_coefficient,
        )
        self._coefficients = torch.tensor(coefficients, device=device)
        self._stopped = torch.zeros((), device=device)
        self._withheld = torch.zeros((), device=device)
        # Adam's own way to be kept from a step: 1 leaves weights and moments as they are.
        optimizer.found_inf = self._withheld  # type: ignore[attr-defined]

    def begin_update(self) -> None:
        """Let steps be taken again after an update that stopped early."""
        self._stopped.zero_()

    def stopped(self, *, wait: bool) -> bool:
        """Tell whether the policy has moved so far that no further step is taken.

        Args:
            wait: for the answer of a GPU. If not, it is False there.
        """
        if self._kl_limit == 0 or (self._stopped.is_cuda and not wait):
            return False
        return bool(self._stopped)

    @contextmanager
    def without_effect(self) -> Iterator[None]:
        """Withhold the steps in the block, for a GPU to run them for the first time."""
        stopped = self._stopped.clone()
        self._stopped.fill_(1)
        yield
        self._stopped.copy_(stopped)

    def __call__(self, output: Output, targets: Targets, weights: Tensor) -> Tensor:
        """Make a gradient step on M steps.

        Args:
            output: of the network, with gradients.
            targets: of the same steps.
            weights: of each step in the means, which sum to 1; ``[M]`` float32.

        Returns:
            The values of a ``Report``, float32.
        """
        means = (self._terms(output, targets) * weights).sum(1)
        loss = (means[:WEIGHTED] * self._coefficients).sum()
        means = means.detach()
        if self._kl_limit:
            beyond = means[Report._fields.index("kl")] > self._kl_limit
            torch.maximum(self._stopped, beyond.to(torch.float32), out=self._stopped)
        norm = loss.new_zeros(()) if self.stopped(wait=False) else self._optimize(loss)
        return torch.cat([means, torch.stack([loss.detach(), norm, self._stopped, self._withheld])])

    def _terms(self, output: Output, targets: Targets) -> Tensor:
        """Return the terms of each step, in the order of ``Report``; ``[6, M]``."""
        settings = self._settings
        distribution = self._network.spec.distribution(output.parameters)
        policy = surrogate(
            distribution.log_prob(targets.actions),
            targets.behaviour,
            targets.advantages,
            clip=settings.clip_range,
        )
        value = value_loss(
            output.values, targets.returns, targets.old_values, clip=settings.value_clip_range
        )
        entropy = distribution.entropy()
        exploration = self._exploration(distribution, entropy)
        return torch.stack(
            [policy.loss, value, exploration, policy.kl, entropy.detach(), policy.clipped]
        )

    def _exploration(self, distribution: Distribution, entropy: Tensor) -> Tensor:
        if self._settings.exploration_loss == "symmetric_kl" and isinstance(distribution, Choices):
            return -distribution.symmetric_kl()
        return entropy

    def _optimize(self, loss: Tensor) -> Tensor:
        """Change the weights, unless that is withheld; return the gradient's norm."""
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(
            self._network.parameters(), self._settings.max_grad_norm
        )
        # A finite loss may have a non-finite gradient; a non-finite loss has no finite one.
        torch.logical_not(norm < math.inf, out=self._withheld)
        torch.maximum(self._withheld, self._stopped, out=self._withheld)
        if norm.is_cuda:
            # PyTorch wants to be told before it records a step, and warns if it is told otherwise.
            capturing = torch.cuda.is_current_stream_capturing()
            for group in self._optimizer.param_groups:
                group["capturable"] = capturing
        self._optimizer.step()
        self._network.clamp_log_std()
        return norm
