"""Plays and learns in one thread, for tests of learning."""

from collections.abc import Callable, Sequence

import torch

from metabonk.games import Game
from metabonk.learner.ppo import Learner
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder, encode_weights
from metabonk.settings.schema import Learning


def lesson(
    games: Sequence[Game],
    learning: Learning,
    decisions: int,
    enough: Callable[[Sequence[float]], bool] = lambda returns: False,
) -> list[float]:
    """Plays so many decisions in all games together, learning from them.

    Args:
        games: that are played.
        learning: how it is learned.
        decisions: at the most.
        enough: told of the returns so far after every update; true ends it.

    Returns:
        The unshaped returns of all episodes, in the order in which they ended.
    """
    spec, processor = PolicySpec.of(games[0], learning), torch.device("cpu")
    learner = Learner(
        spec, learning, reward_scale=games[0].description.reward_scale, device=processor
    )
    actor = Actor(spec, seed=learning.seed, device=processor)
    actor.load(encode_weights(learner.network, 0))
    builders = [RolloutBuilder(spec, learning.rollout_steps) for _ in games]
    seen = [game.reset() for game in games]
    rollouts: list[Rollout] = []
    returns: list[float] = []
    for _ in range(decisions // len(games)):
        decided = actor.act(seen, range(len(games)))
        for number, (game, decision) in enumerate(zip(games, decided, strict=True)):
            moved = game.step(decision.action)
            rollout = builders[number].add(seen[number], decision, moved, actor.version)
            seen[number] = moved.observation
            if rollout is not None:
                rollouts.append(Rollout.from_bytes(rollout.to_bytes()))
            if moved.terminated or moved.truncated:
                seen[number] = game.reset()
                actor.forget(number)
        if sum(map(len, rollouts)) >= learning.batch_size:
            returns += [each.total_reward for rollout in rollouts for each in rollout.episodes]
            learner.update(rollouts)
            actor.load(encode_weights(learner.network, learner.counters.version))
            rollouts.clear()
            if enough(returns):
                break
    return returns
