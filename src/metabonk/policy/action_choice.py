"""Choice of actions by the network's output.

``distributions`` are for learning. For the few rows of one decision, PyTorch's calls would take
twice as long, and hold the interpreter lock of a worker that steps games meanwhile.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metabonk.games import ActionKind
from metabonk.policy.distributions import LOG_STD_LIMITS
from metabonk.policy.spec import PolicySpec

Generators = Sequence[np.random.Generator]
"""One for each row, since no two threads may share one."""


class Choice(NamedTuple):
    """Chosen actions of N rows.

    Attributes:
        actions: ``[N]`` or ``[N, K]``, as the spec says.
        log_probs: natural logarithms of their probabilities, or densities, ``[N]`` float32.
        probabilities: of every option, ``[N, A]`` float32; A is 0 for continuous actions.
    """

    actions: NDArray[Any]
    log_probs: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def choose(spec: PolicySpec, parameters: NDArray[np.float32], randoms: Generators | None) -> Choice:
    """Sample an action for each row, or take the most likely one.

    Args:
        spec: of the policy.
        parameters: of the distributions, ``[N, P]``: logits; or means, then log deviations.
        randoms: one for each row; None: take the most likely actions.
    """
    match spec.action_kind:
        case ActionKind.DISCRETE:
            if randoms is None:
                return _choose_option(parameters, None)
            return _choose_option(parameters, np.array([random.random() for random in randoms]))
        case ActionKind.MULTI_DISCRETE:
            return _choose_options(parameters, spec.action_sizes, randoms)
        case ActionKind.CONTINUOUS:
            return _choose_numbers(parameters, randoms)


def _choose_option(logits: NDArray[np.float32], quantiles: NDArray[np.float64] | None) -> Choice:
    """Choose the options at quantiles of the cumulative distributions; None: the most likely."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    cumulative = np.add.accumulate(shares, -1, np.float64)
    total = cumulative[:, -1:]
    if quantiles is None:
        actions = logits.argmax(-1)
    else:
        passed = (cumulative <= quantiles[:, None] * total).sum(-1)
        actions = np.minimum(passed, logits.shape[-1] - 1)
    probabilities = (shares / total).astype(np.float32)
    return Choice(actions, np.log(probabilities[np.arange(len(actions)), actions]), probabilities)


def _choose_options(
    logits: NDArray[np.float32], sizes: Sequence[int], randoms: Generators | None
) -> Choice:
    """Make several choices for each row, independently of each other."""
    parts = np.split(logits, np.cumsum(sizes)[:-1], -1)
    if randoms is None:
        choices = [_choose_option(part, None) for part in parts]
    else:
        quantiles = np.stack([random.random(len(sizes)) for random in randoms], -1)
        choices = [_choose_option(*each) for each in zip(parts, quantiles, strict=True)]
    return Choice(
        np.stack([choice.actions for choice in choices], -1),
        np.sum([choice.log_probs for choice in choices], 0),
        np.concatenate([choice.probabilities for choice in choices], -1),
    )


def _choose_numbers(parameters: NDArray[np.float32], randoms: Generators | None) -> Choice:
    """Choose a number on each of K axes."""
    mean, log_std = np.split(parameters, 2, -1)
    log_std = log_std.clip(*LOG_STD_LIMITS)
    if randoms is None:
        noise = np.zeros_like(mean)
    else:
        noise = np.stack([random.standard_normal(mean.shape[-1]) for random in randoms])
    actions = (mean + np.exp(log_std) * noise).astype(np.float32)
    # Of the rounded action: that is what the learner computes the density of.
    distance = (actions - mean) * np.exp(-log_std)
    log_probs = (-0.5 * distance**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
    return Choice(actions, log_probs, mean[:, :0])
