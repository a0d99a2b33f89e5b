"""The terms of the PPO loss. Pure functions on tensors; every mean is over all steps given."""

from typing import NamedTuple

import torch
from torch import Tensor


class Surrogate(NamedTuple):
    """The policy's loss and what it was made of.

    Attributes:
        loss: scalar, to be minimised.
        clip_fraction: share of steps whose ratio was beyond the clip range.
        kl: estimate of KL(behaviour ‖ now), never negative (Schulman 2020, ``k3``).
    """

    loss: Tensor
    clip_fraction: Tensor
    kl: Tensor


def surrogate(
    log_probs: Tensor, behaviour_log_probs: Tensor, advantages: Tensor, *, clip: float
) -> Surrogate:
    """The clipped surrogate of PPO (Schulman et al. 2017, equation 7).

    The ratio is clipped to ``[1/(1+ε), 1+ε]``, as far down as up, as in Sample Factory.

    Args:
        log_probs: of the actions taken, now; ``[N]``.
        behaviour_log_probs: of the same, when they were chosen; ``[N]``.
        advantages: ``[N]``.
        clip: ε.
    """
    log_ratios = log_probs - behaviour_log_probs
    ratios = log_ratios.exp()
    clipped = ratios.clamp(1 / (1 + clip), 1 + clip)
    loss = -torch.minimum(ratios * advantages, clipped * advantages).mean()
    return Surrogate(
        loss,
        (ratios != clipped).to(torch.float32).mean(),
        (ratios - 1 - log_ratios).mean(),
    )


def value_loss(values: Tensor, returns: Tensor, old_values: Tensor, *, clip: float) -> Tensor:
    """Half the squared error of the values, optionally pessimistic beyond a step of ``clip``.

    Args:
        values: predicted now; ``[N]``.
        returns: targets; ``[N]``.
        old_values: predicted before the update; ``[N]``.
        clip: farthest that a value is rewarded for moving in one update, in the same units; 0:
            as far as it likes.
    """
    errors = (values - returns).square()
    if clip > 0:
        near = old_values + (values - old_values).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - returns).square())
    return 0.5 * errors.mean()
