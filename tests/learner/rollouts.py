"""Rollouts made up for tests."""

import numpy as np

from metabonk.policy import PolicySpec, Rollout
from tests.policy.specs import TINY


def made_up(
    steps: int = 4,
    *,
    spec: PolicySpec = TINY,
    seed: int = 0,
    version: int = 0,
    rewards: list[float] | None = None,
    terminated: tuple[int, ...] = (),
    truncated: bool = False,
) -> Rollout:
    """A rollout of random pictures and actions.

    Args:
        steps: decisions in it.
        spec: of the policy.
        seed: of everything random.
        version: of every step.
        rewards: of each step; default: random.
        terminated: steps that end an episode.
        truncated: whether the last step is cut off.
    """
    random = np.random.default_rng(seed)
    return Rollout(
        spec=spec,
        observations=random.integers(0, 256, (steps + 1, *spec.observation_shape), np.uint8),
        actions=random.integers(0, spec.actions, steps),
        log_probs=np.full(steps, -np.log(spec.actions), np.float32),
        rewards=(
            random.normal(size=steps).astype(np.float32)
            if rewards is None
            else np.array(rewards, np.float32)
        ),
        terminated=np.isin(np.arange(steps), terminated),
        truncated=np.arange(steps) == (steps - 1 if truncated else -1),
        versions=np.full(steps, version, np.int64),
    )
