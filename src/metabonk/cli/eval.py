"""``metabonk eval``: play a trained policy and report its returns."""

import argparse
import contextlib
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from metabonk.encoding.recording import Recording
from metabonk.errors import CheckpointError
from metabonk.games import FrameSink, make_game
from metabonk.messages import Mode
from metabonk.policy import Actor, EpisodeEnd, PolicySpec
from metabonk.policy.env_runner import EnvRunner
from metabonk.runs.checkpoints import best_weights, newest_weights
from metabonk.runs.layout import NEWEST, SETTINGS_FILE, find_run
from metabonk.settings import load_settings, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is evaluated and how."""
    parser.add_argument(
        "run", nargs="?", default=NEWEST, metavar="RUN", help="name or folder; default: newest"
    )
    parser.add_argument(
        "--episodes", type=_positive_integer, default=20, metavar="N", help="default: 20"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of games and actions"
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
        "--video", type=Path, metavar="FILE", help="record all episodes to this MP4 file"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play a checkpoint of the run and print its returns.

    Raises:
        MetaBonkError: there is no such run, it has no checkpoint, or the video can't be written.
    """
    run_dir = _find(load_settings().paths.runs, arguments.run)
    settings = read_settings(run_dir / SETTINGS_FILE)
    weights = best_weights(run_dir) if arguments.best else newest_weights(run_dir)
    if weights is None:
        kind = "best checkpoint" if arguments.best else "checkpoint"
        raise CheckpointError(f"{run_dir} has no readable {kind}; train it first")
    returns: list[float] = []
    with contextlib.ExitStack() as owned:
        game = make_game(settings.game, settings.learning, seed=arguments.seed)
        owned.callback(game.close)
        spec = PolicySpec.of(game, settings.learning)
        actor = Actor(spec, seed=arguments.seed, greedy=arguments.greedy)
        actor.load(weights)
        on_frame = None
        if arguments.video is not None:
            game.set_render_size(settings.stream.effective_size(hardware=False))
            recording = Recording(arguments.video, fps=settings.stream.effective_fps)
            on_frame = owned.enter_context(recording).add
        count = arguments.episodes
        _print(f"{run_dir.name}: {settings.game}, version {actor.version}, {count} episodes")
        runner = EnvRunner(game, 0, None, lambda: actor.reset_state(0))
        for ended in episodes(runner, actor, count, on_frame):
            returns.append(ended.total_reward)
            _print(
                f"  episode {len(returns)}: return {ended.total_reward:.2f}, {ended.length} steps"
            )
    _print(summary(returns))
    if arguments.video is not None:
        _print(f"wrote {arguments.video}")
    return 0


def summary(returns: list[float]) -> str:
    """Format mean, sample standard deviation, minimum and maximum of the returns."""
    deviation = statistics.stdev(returns) if len(returns) > 1 else 0.0
    return (
        f"return {statistics.fmean(returns):.2f} ± {deviation:.2f} (mean ± standard deviation), "
        f"min {min(returns):.2f}, max {max(returns):.2f}, {len(returns)} episodes"
    )


def episodes(
    runner: EnvRunner, actor: Actor, count: int, on_frame: FrameSink | None = None
) -> Iterator[EpisodeEnd]:
    """Play ``count`` episodes, one after the other.

    Raises:
        GameError: the game failed.
    """
    runner.reset()
    while count:
        (decision,) = actor.act([runner.observation], [runner.number])
        result = runner.step(decision, on_frame)
        if result.episode_end is not None:
            count -= 1
            yield result.episode_end


def _find(runs: Path, name: str) -> Path:
    folder = Path(name)
    if (folder / SETTINGS_FILE).is_file():
        return folder
    return find_run(runs, name, mode=Mode.PLAY)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _positive_integer(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer ≥ 1, not {text!r}")
    return int(text)
