"""The policy's thoughts in step with a replay. Pure."""

import numpy as np

from metabonk.games import ActionKind, GameDescription
from metabonk.messages.replays import ReplayTrack
from metabonk.policy.episode_log import EpisodeLog


def make_track(
    log: EpisodeLog, description: GameDescription, no_saliency: str | None = None
) -> ReplayTrack:
    """Return what the policy thought in each step, by media time.

    Args:
        log: of the episode.
        description: of its game.
        no_saliency: why there are no saliency maps; None if there are.
    """
    kind = log.setup.action_kind
    tics = np.cumsum(log.tics, dtype=np.int64)
    # The frame before the first tic is shown at 0, and the last one as long as any.
    first_tics = np.concatenate(([1], 1 + tics[:-1]))
    return ReplayTrack(
        game=description.id,
        tics_per_s=description.tics_per_s,
        duration_s=float(1 + tics[-1]) / description.tics_per_s,
        actions=[] if kind is ActionKind.CONTINUOUS else list(description.action_names),
        times=(first_tics / description.tics_per_s).tolist(),
        chosen=log.actions.tolist() if kind is ActionKind.DISCRETE else [None] * len(log),
        probabilities=np.round(log.probabilities / 255, 3).tolist(),
        values=log.values.tolist(),
        rewards=log.rewards.tolist(),
        total_reward=log.total_reward,
        policy_version=log.policy_version,
        no_saliency=no_saliency,
    )
