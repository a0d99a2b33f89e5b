"""The newest policy of a run on the seed of an earlier episode."""

import dataclasses
from typing import NamedTuple

import torch

from metabonk.errors import ReplayError
from metabonk.games import Purpose, action_seed, game_versions
from metabonk.policy import Actor, PolicySpec
from metabonk.policy.episode_log import EpisodeLog
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.replays.renderer import opened_game
from metabonk.settings.learning import Learning

MAX_STEPS = 10_000
"""Steps of a rematch, which ends then even if the episode doesn't."""


class Rematch(NamedTuple):
    """An episode that was played again by another policy.

    Attributes:
        log: of the new episode.
        has_end: False: it was cut off after ``MAX_STEPS``.
    """

    log: EpisodeLog
    has_end: bool


def play_rematch(log: EpisodeLog, learning: Learning, weights: bytes) -> Rematch:
    """Play an episode that begins as that of a log, undrawn; the same each time.

    Args:
        log: of the earlier episode.
        learning: settings of the run, whose policy observes the game.
        weights: for ``Actor.load``.

    Raises:
        GameError: the game can't be made here, or failed.
        PolicyError: the weights are for another game or network.
        ReplayError: the game has other actions here, or the episode is too long for a log.
    """
    with opened_game(log.setup, learning) as game:
        seed = action_seed(log.seed, Purpose.EVALUATION)
        spec = PolicySpec.of(game, learning)
        # A GPU is for those who train.
        actor = Actor(spec, seed=seed, device=torch.device("cpu"))
        actor.load(weights)
        setup = dataclasses.replace(log.setup, versions=game_versions(log.setup.game))
        recorder = EpisodeRecorder(setup)
        recorder.begin(log.seed, log.carried)
        game.restore_carried_state(log.carried)
        observation = game.reset(log.seed)
        total_reward, has_end = 0.0, False
        for _ in range(MAX_STEPS):
            (decision,) = actor.act([observation], [0])
            transition = game.step(decision.action)
            recorder.add(decision, transition)
            total_reward += transition.reward
            observation = transition.observation
            if transition.terminated or transition.truncated:
                has_end = True
                break
            if transition.life_lost:
                actor.reset_state(0)
        recording = recorder.finish(actor.version, total_reward)
    data = recording.to_bytes() if recording is not None else None
    if data is None:
        raise ReplayError(f"the rematch in {log.setup.game} is too long to be drawn")
    return Rematch(EpisodeLog.from_bytes(data), has_end)
