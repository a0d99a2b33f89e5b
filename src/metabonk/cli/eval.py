"""``metabonk eval``: play a trained policy and report its returns."""

import argparse
import contextlib
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from metabonk.errors import ReplayError
from metabonk.games import Purpose, action_seed, episode_seeds, make_game
from metabonk.policy import Actor, PolicySpec
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.printable import printable
from metabonk.replays.renderer import draw, opened_game
from metabonk.replays.video import ReplayVideo
from metabonk.runs.checkpoints import find_trained, trained_weights
from metabonk.runs.layout import NEWEST, SETTINGS_FILE
from metabonk.settings import Settings, load_settings, read_usable_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is evaluated and how."""
    parser.add_argument(
        "run", nargs="?", default=NEWEST, metavar="RUN", help="name or folder; default: newest"
    )
    parser.add_argument(
        "--episodes", type=_positive_integer, default=20, metavar="N", help="default: 20"
    )
    parser.add_argument(
        "--seed",
        type=_natural_number,
        default=0,
        metavar="N",
        help="of the episodes and actions; the same for every policy (default: 0)",
    )
    parser.add_argument(
        "--greedy", action="store_true", help="take the most likely action instead of sampling"
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="use the checkpoint with the best mean return, not the newest",
    )
    parser.add_argument(
        "--video", type=Path, metavar="FILE", help="draw all episodes to this MP4 file"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play a checkpoint of the run and print its returns; then draw its episodes, if asked to.

    Raises:
        MetaBonkError: there is no such run, it has no checkpoint, or there is no video of it.
    """
    run_dir = find_trained(load_settings().paths.runs, arguments.run)
    settings, unknown = read_usable_settings(run_dir / SETTINGS_FILE)
    for mistake in unknown:
        _print(f"note: {run_dir.name} is of another version of MetaBonk: {mistake}")
    weights = trained_weights(run_dir, best=arguments.best)
    returns: list[float] = []
    with contextlib.ExitStack() as owned:
        game = make_game(settings.game, settings.learning)
        owned.callback(game.close)
        spec = PolicySpec.of(game, settings.learning)
        seed = action_seed(arguments.seed, Purpose.EVALUATION)
        actor = Actor(spec, seed=seed, greedy=arguments.greedy)
        actor.load(weights)
        video = recorder = None
        if arguments.video is not None:
            # Opened first: one that can't be written is reported before hours of play.
            pace, size = game.description.tics_per_s, _video_size(settings)
            video = owned.enter_context(ReplayVideo(arguments.video, size=size, tics_per_s=pace))
            recorder = EpisodeRecorder(EpisodeSetup.of(game.description, settings.learning))
        count = arguments.episodes
        _print(f"{run_dir.name}: {settings.game}, version {actor.version}, {count} episodes")
        seeds = episode_seeds(arguments.seed, Purpose.EVALUATION)
        runner = EnvRunner(
            game,
            0,
            None,
            seeds=seeds,
            recorder=recorder,
            on_reset=lambda: actor.reset_state(0),
            on_life_lost=lambda: actor.reset_state(0),
        )
        logs: list[EpisodeLog] = []
        for result in final_steps(runner, actor, count):
            assert result.episode_end is not None, "a final step"
            total_reward, length = result.episode_end.total_reward, result.episode_end.length
            returns.append(total_reward)
            _print(f"  episode {len(returns)}: return {total_reward:.2f}, {length} steps")
            if recorder is not None:
                logs.append(_log_of(result, len(returns)))
        _print(summary(returns))
        if video is not None:
            _draw(logs, settings, video)
    if video is not None:
        _print(f"wrote {arguments.video}")
    return 0


def summary(returns: list[float]) -> str:
    """Format mean, sample standard deviation, minimum and maximum of the returns."""
    deviation = statistics.stdev(returns) if len(returns) > 1 else 0.0
    return (
        f"return {statistics.fmean(returns):.2f} ± {deviation:.2f} (mean ± standard deviation), "
        f"min {min(returns):.2f}, max {max(returns):.2f}, {len(returns)} episodes"
    )


def final_steps(runner: EnvRunner, actor: Actor, count: int) -> Iterator[StepResult]:
    """Play ``count`` episodes, one after the other, and yield the last step of each.

    Raises:
        GameError: the game failed.
    """
    runner.reset()
    while count:
        (decision,) = actor.act([runner.observation], [runner.number])
        result = runner.step(decision)
        if result.episode_end is not None:
            count -= 1
            yield result


def _log_of(result: StepResult, number: int) -> EpisodeLog:
    data = result.recording.to_bytes() if result.recording is not None else None
    if data is None:
        raise ReplayError(f"episode {number} is too long for a video; leave out --video")
    return EpisodeLog.from_bytes(data)


def _draw(logs: list[EpisodeLog], settings: Settings, video: ReplayVideo) -> None:
    with opened_game(logs[0].setup, settings.learning, _video_size(settings)) as game:
        tic = 0
        for log in logs:
            tic = draw(log, game, video, first_tic=tic)


def _video_size(settings: Settings) -> tuple[int, int]:
    return settings.stream.effective_size(hardware=False)


def _print(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def _positive_integer(text: str) -> int:
    return _integer(text, at_least=1)


def _natural_number(text: str) -> int:
    return _integer(text, at_least=0)


def _integer(text: str, *, at_least: int) -> int:
    if not text.isdecimal() or int(text) < at_least:
        raise argparse.ArgumentTypeError(f"must be an integer ≥ {at_least}, not {text!r}")
    return int(text)
