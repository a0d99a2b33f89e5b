"""Advantages, the PPO losses and the learning rate schedule. Pure functions on tensors."""

from typing import NamedTuple

import torch
from torch import Tensor

from metabonk.settings.learning import Learning


class Surrogate(NamedTuple):
    """The policy loss and its diagnostics of each step.

    Attributes:
        loss: to minimize, ``[N]``.
        clipped: 1 where the ratio is outside the clip range, else 0; ``[N]``.
        kl: estimate of KL(behaviour ‖ current), never negative (Schulman 2020, ``k3``); ``[N]``.
    """

    loss: Tensor
    clipped: Tensor
    kl: Tensor


def surrogate(
    log_probs: Tensor, behaviour_log_probs: Tensor, advantages: Tensor, *, clip: float
) -> Surrogate:
    """Compute the clipped surrogate of PPO (Schulman et al. 2017, equation 7).

    The ratio is clipped to ``[1/(1+ε), 1+ε]``, symmetric in the logarithm, as in Sample Factory.

    Args:
        log_probs: of the actions under the current policy, ``[N]``.
        behaviour_log_probs: of the same actions under the behaviour policy, ``[N]``.
        advantages: ``[N]``.
        clip: ε.
    """
    log_ratios = log_probs - behaviour_log_probs
    ratios = log_ratios.exp()
    clipped = ratios.clamp(1 / (1 + clip), 1 + clip)
    return Surrogate(
        -torch.minimum(ratios * advantages, clipped * advantages),
        (ratios != clipped).to(torch.float32),
        ratios - 1 - log_ratios,
    )


def value_loss(values: Tensor, returns: Tensor, old_values: Tensor, *, clip: float) -> Tensor:
    """Compute half the squared error of each value, clipped like the policy's ratio, ``[N]``.

    Args:
        values: current predictions, ``[N]``.
        returns: targets, ``[N]``.
        old_values: predictions before the update, ``[N]``.
        clip: largest useful change of a value in one update, in the same units; 0: unlimited.
    """
    errors = (values - returns).square()
    if clip > 0:
        near = old_values + (values - old_values).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - returns).square())
    return 0.5 * errors


class Advantages(NamedTuple):
    """Advantages and returns of each step.

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
    done: Tensor,
    *,
    gamma: float,
    lam: float,
) -> Advantages:
    """Compute generalized advantage estimates (Schulman et al. 2016, equation 16).

    Args:
        rewards: ``[T, …]``.
        values: of the states, ``[T, …]``.
        next_values: of the next states, ``[T, …]``; ignored after a termination.
        terminated: steps after which the return is zero, ``[T, …]`` bool.
        done: last steps of an episode or rollout, where traces are cut, ``[T, …]`` bool. If not
            also terminated, the next value is bootstrapped.
        gamma: discount factor.
        lam: λ; 0 relies on the values, 1 on the rewards.
    """
    discounts = gamma * (~terminated).to(rewards.dtype)
    traces = discounts * lam * (~done).to(rewards.dtype)
    advantages = _discounted_sums(rewards + discounts * next_values - values, traces)
    return Advantages(advantages, advantages + values)


def vtrace(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    done: Tensor,
    log_ratios: Tensor,
    *,
    gamma: float,
    lam: float = 1.0,
    rho_limit: float = 1.0,
    c_limit: float = 1.0,
) -> Advantages:
    """Compute V-trace targets and advantages (Espeholt et al. 2018, equation 1 and remark 2).

    The advantage is ``r + γ·v' − V``, without the factor ρ of the paper's policy gradient: the
    surrogate loss has the ratio in it.

    Args:
        rewards: ``[T, …]``.
        values: of the states, ``[T, …]``.
        next_values: of the next states, ``[T, …]``; ignored after a termination.
        terminated: as in ``gae``.
        done: as in ``gae``.
        log_ratios: log-probabilities of the actions, current minus behaviour policy, ``[T, …]``.
        gamma: discount factor.
        lam: λ of the traces, as in GAE.
        rho_limit: ρ̄, limit of the ratio at each step: sets whose values are learned.
        c_limit: c̄, limit of the ratio in the traces: sets how fast.
    """
    ratios = log_ratios.exp()
    rho = ratios.clamp(max=rho_limit)
    discounts = gamma * (~terminated).to(rewards.dtype)
    traces = discounts * lam * ratios.clamp(max=c_limit) * (~done).to(rewards.dtype)
    deltas = rho * (rewards + discounts * next_values - values)
    returns = values + _discounted_sums(deltas, traces)
    next_returns = torch.where(done, next_values, torch.roll(returns, -1, 0))
    return Advantages(rewards + discounts * next_returns - values, returns)


def _discounted_sums(terms: Tensor, factors: Tensor) -> Tensor:
    """Return the sums ``s[t] = terms[t] + factors[t]·s[t+1]``, ``[T, …]``.

    By doubling the length of partial sums (Hillis and Steele 1986): log T operations on whole
    tensors, where one after the other a GPU would run T of them on a row each.
    """
    sums, products, length = terms.clone(), factors[:-1], 1
    while length < len(sums):
        sums[:-length] += products * sums[length:]
        products = products[:-length] * products[length:]
        length *= 2
    return sums


def learning_rate(settings: Learning, steps_trained: int) -> float:
    """Return the learning rate: a linear decay from ``learning_rate`` to ``lr_final``.

    Depends only on the step count, so a resumed run continues the schedule.

    Args:
        settings: of the learner.
        steps_trained: since the start of the run.
    """
    if settings.lr_decay_steps == 0:
        return settings.learning_rate
    done = min(1.0, steps_trained / settings.lr_decay_steps)
    return settings.learning_rate + done * (settings.lr_final - settings.learning_rate)
