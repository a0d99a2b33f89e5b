"""How much better an action was than expected: GAE and V-trace. Pure functions on tensors.

Time is the first dimension, any others are batches. ``values`` are of the state an action was
taken in and ``next_values`` of the one it led to, given separately: what follows an episode's end
in memory isn't what the action led to.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """Estimates for each step.

    Attributes:
        advantages: ``[T, …]`` float32, for the policy.
        returns: ``[T, …]`` float32, targets of the value function.
    """

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ends: Tensor,
    *,
    gamma: float,
    lam: float,
) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16).

    Args:
        rewards: ``[T, …]``.
        values: of the states acted in, ``[T, …]``.
        next_values: of the states that followed, ``[T, …]``; ignored after a termination.
        terminated: nothing follows this step, so nothing is bootstrapped; ``[T, …]`` bool.
        ends: the step is the last of its episode or rollout, so later steps tell nothing of it;
            ``[T, …]`` bool. Where it isn't terminated as well, the next value is bootstrapped.
        gamma: discount.
        lam: 0 trusts the values, 1 trusts the rewards.
    """
    goes_on = gamma * (~terminated).to(rewards.dtype)
    carries = goes_on * lam * (~ends).to(rewards.dtype)
    deltas = rewards + goes_on * next_values - values
    advantages = torch.empty_like(deltas)
    later = torch.zeros_like(deltas[0])
    for step in reversed(range(len(deltas))):
        later = deltas[step] + carries[step] * later
        advantages[step] = later
    return Advantages(advantages, advantages + values)


def vtrace(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ends: Tensor,
    log_ratios: Tensor,
    *,
    gamma: float,
    lam: float = 1.0,
    rho_limit: float = 1.0,
    c_limit: float = 1.0,
) -> Advantages:
    """V-trace (Espeholt et al. 2018, equation 1 and remark 2): values of the policy that learns.

    The advantage is ``r + γ·v' − V``, without the factor ρ of the paper's policy gradient: the
    surrogate loss carries the ratio itself.

    Args:
        rewards: ``[T, …]``.
        values: of the states acted in, ``[T, …]``.
        next_values: of the states that followed, ``[T, …]``; ignored after a termination.
        terminated: as in ``gae``.
        ends: as in ``gae``.
        log_ratios: log-probability of the action now, minus that when it was chosen; ``[T, …]``.
        gamma: discount.
        lam: as in GAE, on the traces.
        rho_limit: limit of the ratio at each step: which policy's values are learned.
        c_limit: limit of the ratio in the traces: how fast.
    """
    ratios = log_ratios.exp()
    rho = ratios.clamp(max=rho_limit)
    goes_on = gamma * (~terminated).to(rewards.dtype)
    carries = goes_on * lam * ratios.clamp(max=c_limit) * (~ends).to(rewards.dtype)
    deltas = rho * (rewards + goes_on * next_values - values)
    returns = torch.empty_like(deltas)
    correction = torch.zeros_like(deltas[0])
    for step in reversed(range(len(deltas))):
        correction = deltas[step] + carries[step] * correction
        returns[step] = values[step] + correction
    next_returns = torch.where(ends, next_values, torch.roll(returns, -1, 0))
    return Advantages(rewards + goes_on * next_returns - values, returns)
