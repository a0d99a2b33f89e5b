"""``metabonk debug``: one game and its learner in a single thread, without HTTP.

With the same seed, two runs on one machine play the same episodes and learn the same weights: a
failure can be reproduced, and a debugger stops everything at once.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from metabonk.games import Purpose, action_seed, describe_game, episode_seeds, make_game
from metabonk.learner.checkpoint import save_checkpoint
from metabonk.learner.ppo import Learner, Update
from metabonk.messages.workers import EpisodeReport
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder, encode_weights
from metabonk.policy.defaults import describe_defaults, with_defaults
from metabonk.policy.env_runner import EnvRunner
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import new_run, save_settings
from metabonk.runs.pruning import hold_run
from metabonk.settings import Settings, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is played and for how long."""
    parser.add_argument(
        "--game", metavar="ID", help="doom:<name>, gym:<id>, desktop:<name> or retro:<game>"
    )
    parser.add_argument(
        "--env-arg",
        action="append",
        metavar="KEY=VALUE",
        help="argument for the constructor of a Gymnasium environment; repeatable",
    )
    parser.add_argument("--seed", metavar="N", help="seed of everything random (default: 0)")
    parser.add_argument(
        "--steps", type=int, default=10_000, metavar="N", help="policy steps; default: 10000"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play and learn, print a line for each update, and leave an ordinary run folder.

    Raises:
        MetaBonkError: the game or a folder can't be used.
    """
    given = {"seed": arguments.seed, "env_args": arguments.env_arg}
    settings = load_settings({"game": arguments.game, "learning": given})
    torch.use_deterministic_algorithms(True)
    game = describe_game(settings.game, settings.learning)
    sys.stdout.write(f"{describe_defaults(settings.learning, game)}\n")
    learning = with_defaults(settings.learning, game)
    settings = settings.model_copy(update={"learning": learning})
    run_dir = new_run(settings)
    save_settings(settings, run_dir)
    with hold_run(run_dir), contextlib.closing(EpisodeStore(run_dir, settings.game)) as store:
        learner = None
        for progress in play_and_learn(settings, arguments.steps):
            learner = progress.learner
            store.record(progress.episodes)
            sys.stdout.write(f"{_line(progress)}\n")
            sys.stdout.flush()
    if learner is not None and learner.counters.updates:
        save_checkpoint(learner, run_dir)
    sys.stdout.write(f"the run is in {run_dir}\n")
    return 0


class Progress(NamedTuple):
    """Progress since the previous update.

    Attributes:
        step: total steps.
        episodes: finished episodes.
        update: None at the very end.
        learner: in its current state.
    """

    step: int
    episodes: list[EpisodeReport]
    update: Update | None
    learner: Learner


def play_and_learn(settings: Settings, steps: int) -> Iterator[Progress]:
    """Play ``steps`` steps on the CPU and learn from them; yield the progress at each update.

    Raises:
        MetaBonkError: the game does not start, or failed.
    """
    learning, processor = settings.learning, torch.device("cpu")
    game = make_game(settings.game, learning)
    with contextlib.closing(game):
        spec = PolicySpec.of(game, learning)
        seed = action_seed(learning.seed, Purpose.TRAINING)
        actor = Actor(spec, seed=seed, device=processor)
        learner = Learner(
            spec, learning, reward_scale=game.description.reward_scale, device=processor
        )
        actor.load(encode_weights(learner.network, learner.counters.version))
        runner = EnvRunner(
            game,
            0,
            RolloutBuilder(spec, learning.rollout_steps),
            seeds=episode_seeds(learning.seed, Purpose.TRAINING),
            on_reset=lambda: actor.reset_state(0),
            on_life_lost=lambda: actor.reset_state(0),
        )
        runner.reset()
        rollouts: list[Rollout] = []
        episodes: list[EpisodeReport] = []
        played = 0
        for step in range(1, steps + 1):
            (decision,) = actor.act([runner.observation], [runner.number])
            result = runner.step(decision)
            if (end := result.episode_end) is not None:
                played += 1
                episodes.append(
                    EpisodeReport(
                        worker_index=0,
                        episode=played,
                        total_reward=end.total_reward,
                        length=end.length,
                        step=step,
                        policy_version=actor.version,
                        ended_at=time.time(),
                    )
                )
            if result.rollout is not None:
                rollouts.append(Rollout.from_bytes(result.rollout))
            if sum(map(len, rollouts)) >= learning.batch_size:
                update = learner.update(rollouts)
                actor.load(encode_weights(learner.network, learner.counters.version))
                yield Progress(step, episodes, update, learner)
                rollouts, episodes = [], []
        yield Progress(steps, episodes, None, learner)


def _line(progress: Progress) -> str:
    returns = [episode.total_reward for episode in progress.episodes]
    mean = f"{sum(returns) / len(returns):9.2f}" if returns else "         "
    terms = progress.update.losses if progress.update else {}
    losses = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
    return (
        f"{progress.step:8d} steps  version {progress.learner.counters.version:4d}  "
        f"return {mean} of {len(returns)} episodes  {losses}".rstrip()
    )
