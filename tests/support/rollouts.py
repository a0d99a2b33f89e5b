"""Random rollouts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabonk.games import ActionKind
from metabonk.policy import PolicySpec, Rollout
from tests.support.specs import TINY


def make_rollout(
    steps: int = 4,
    *,
    spec: PolicySpec = TINY,
    seed: int = 0,
    version: int = 0,
    rewards: list[float] | None = None,
    terminated: tuple[int, ...] = (),
    truncated: bool = False,
) -> Rollout:
    """Return a rollout of random observations and actions.

    Args:
        steps: number of steps.
        spec: policy that the rollout is for.
        seed: seed of all random values.
        version: policy version of every step.
        rewards: reward of each step; random by default.
        terminated: indices of steps that terminate an episode.
        truncated: whether the last step truncates the episode.
    """
    random = np.random.default_rng(seed)
    shape = (steps + 1, *spec.observation_shape)
    is_image = len(spec.observation_shape) == 3
    actions: NDArray[Any]
    match spec.action_kind:
        case ActionKind.DISCRETE:
            actions = random.integers(0, spec.actions, steps)
        case ActionKind.MULTI_DISCRETE:
            actions = random.integers(0, spec.action_sizes, (steps, len(spec.action_sizes)))
        case ActionKind.CONTINUOUS:
            actions = random.normal(size=(steps, spec.actions)).astype(np.float32)
    return Rollout(
        spec=spec,
        observations=(
            random.integers(0, 256, shape, np.uint8)
            if is_image
            else random.normal(size=shape).astype(np.float32)
        ),
        actions=actions,
        log_probs=np.full(steps, -np.log(spec.actions), np.float32),
        rewards=(
            random.normal(size=steps).astype(np.float32)
            if rewards is None
            else np.array(rewards, np.float32)
        ),
        terminated=np.isin(np.arange(steps), terminated),
        truncated=np.arange(steps) == (steps - 1 if truncated else -1),
        versions=np.full(steps, version, np.int64),
        memory=random.normal(size=spec.memory).astype(np.float32),
    )
