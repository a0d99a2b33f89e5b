"""Playing and learning in one thread, for tests of learning."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from metabonk.games import Game, Purpose, episode_seeds
from metabonk.learner.ppo import Learner
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder, encode_weights
from metabonk.policy.defaults import with_defaults
from metabonk.policy.env_runner import EnvRunner
from metabonk.settings.learning import Learning


def train(
    games: Sequence[Game],
    learning: Learning,
    steps: int,
    is_done: Callable[[Sequence[float]], bool] = lambda returns: False,
) -> list[float]:
    """Play all games in turn and learn from them.

    Args:
        games: all of one kind.
        learning: settings of the learner; what is unset gets the defaults of the kind of game.
        steps: total over all games, at most.
        is_done: called with all returns so far after every update; true ends the training.

    Returns:
        Unshaped returns of all episodes, in the order in which they ended.
    """
    learning = with_defaults(learning, games[0].description)
    spec, device = PolicySpec.of(games[0], learning), torch.device("cpu")
    learner = Learner(spec, learning, reward_scale=games[0].description.reward_scale, device=device)
    actor = Actor(spec, seed=learning.seed, device=device)
    actor.load(encode_weights(learner.network, 0))
    runners = [
        EnvRunner(
            game,
            number,
            RolloutBuilder(spec, learning.rollout_steps),
            seeds=episode_seeds(learning.seed, Purpose.TRAINING, game=number),
            on_reset=partial(actor.reset_state, number),
        )
        for number, game in enumerate(games)
    ]
    for runner in runners:
        runner.reset()
    rollouts: list[Rollout] = []
    returns: list[float] = []
    for _ in range(steps // len(games)):
        decisions = actor.act([runner.observation for runner in runners], range(len(games)))
        for runner, decision in zip(runners, decisions, strict=True):
            result = runner.step(decision)
            if result.rollout is not None:
                rollouts.append(Rollout.from_bytes(result.rollout))
        if sum(map(len, rollouts)) >= learning.batch_size:
            returns += [each.total_reward for rollout in rollouts for each in rollout.episodes]
            learner.update(rollouts)
            actor.load(encode_weights(learner.network, learner.counters.version))
            rollouts.clear()
            if is_done(returns):
                break
    return returns
