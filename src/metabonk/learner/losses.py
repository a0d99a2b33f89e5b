"""The terms of the PPO loss. Pure functions on tensors; every mean is over all steps given."""

from typing import NamedTuple

import torch
from torch import Tensor

from metabonk.settings.schema import Learning


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


def learning_rate(settings: Learning, steps_trained: int) -> float:
    """The step size now: from ``learning_rate`` to ``lr_final`` in a straight line.

    It hangs on nothing but the steps, so that a run which is continued goes on with the step size
    it would have had.

    Args:
        settings: of the learner.
        steps_trained: decisions learned from since the run began.
    """
    if settings.lr_decay_steps == 0:
        return settings.learning_rate
    done = min(1.0, steps_trained / settings.lr_decay_steps)
    return settings.learning_rate + done * (settings.lr_final - settings.learning_rate)
