"""``metabonk desktop``: try a definition, and learn the digits of a score."""

import argparse
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from metabonk.broadcast.stream import Stream
from metabonk.cli import desktop_calibrate
from metabonk.desktop.catalog import PREFIX
from metabonk.frame import Frame
from metabonk.games import FrameSink, Game, Purpose, episode_seeds, make_game
from metabonk.printable import printable
from metabonk.settings import load_settings
from metabonk.settings.learning import Learning
from metabonk.system.tic_clock import TicClock

SIZE = (1280, 720)
FPS = 30
REPEATED_STEPS = 100


@dataclass
class Trial:
    """Findings from a game played at random.

    Attributes:
        steps: that were taken.
        rewarded: of them, with a reward.
        changed: of them, after which the policy saw something else.
        terminated: episodes that ended by the game's rules.
        truncated: episodes that were cut off.
        late_s: time that drawing and moving took beyond the game's own pace.
    """

    steps: int = 0
    rewarded: int = 0
    changed: int = 0
    terminated: int = 0
    truncated: int = 0
    late_s: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is tried."""
    commands = parser.add_subparsers(dest="desktop_command", required=True, metavar="COMMAND")
    trial = commands.add_parser("try", help="play it at random, and say what doesn't hold")
    trial.add_argument("game", metavar="FILE.toml", help="the definition, or the name of one")
    learning = commands.add_parser("calibrate", help="learn the digits of a score, asking for them")
    learning.add_argument("game", metavar="FILE.toml", help="the definition")
    for each, seconds in ((trial, 30), (learning, 300)):
        each.add_argument(
            "--seconds",
            type=float,
            default=float(seconds),
            metavar="S",
            help=f"to play (default: {seconds})",
        )


def run(arguments: argparse.Namespace) -> int:
    """Play a game at random, shown on the page; or see ``desktop_calibrate``.

    Returns:
        0 if all of its definition holds, else 1.

    Raises:
        GameError: the definition can't be used, or the game broke.
    """
    game_id = arguments.game if arguments.game.startswith(PREFIX) else PREFIX + arguments.game
    if arguments.desktop_command == "calibrate":
        return desktop_calibrate.run(game_id, arguments.seconds)
    learning = load_settings().learning.model_copy(update={"env_args": {}})
    began = time.monotonic()
    with contextlib.closing(make_game(game_id, learning, render_size=SIZE)) as game:
        _print(f"✓ {game_id} starts in {time.monotonic() - began:.1f} s")
        with contextlib.closing(Stream(game_id, FPS)) as stream:
            trial = play(game, arguments.seconds, stream.show)
    _print(f"✓ {trial.steps} steps, {trial.rewarded} of them with a reward")
    _print(f"✓ {trial.terminated} episodes ended, {trial.truncated} were cut off")
    if trial.late_s > arguments.seconds / 4:
        _print(
            f"· drawing and moving took {trial.late_s:.1f} s more than the game's own pace allows, "
            "on this machine as it is now"
        )
    doubts = list(itertools.chain(judge(trial, arguments.seconds), _repeat(game_id, learning)))
    for doubt in doubts:
        _print(f"✗ {doubt}")
    _print("not all of the definition holds" if doubts else "the definition holds")
    return int(bool(doubts))


def play(game: Game, seconds: float, show: Callable[..., None]) -> Trial:
    """Play at random at the game's own pace, and show every tic.

    Args:
        game: to play.
        seconds: for how long.
        show: gets the pixels of each frame.

    Raises:
        GameError: the game broke.
    """
    trial, choose = Trial(), random.Random(0)
    seeds = episode_seeds(0, Purpose.EVALUATION)
    on_frame = _paced(game, show, trial)
    end = time.monotonic() + seconds
    seen = game.reset(next(seeds))
    while time.monotonic() < end:
        result = game.step(choose.randrange(len(game.action_names)), on_frame)
        trial.steps += 1
        trial.rewarded += bool(result.reward)
        trial.changed += not np.array_equal(seen, result.observation)
        trial.terminated += result.terminated
        trial.truncated += result.truncated
        seen = result.observation
        if result.terminated or result.truncated:
            seen = game.reset(next(seeds))
    return trial


def judge(trial: Trial, seconds: float) -> Iterator[str]:
    """Yield a sentence for whatever looks wrong."""
    if not trial.changed:
        yield f"nothing changed on the screen in {trial.steps} steps: does it wait for a key?"
    if not trial.rewarded:
        yield f"no reward in {seconds:g} s of random play: is [reward] what grows?"
    if trial.terminated > trial.steps / 4:
        yield f"an episode lasts {trial.steps / trial.terminated:.1f} steps: is it over at once?"


def _paced(game: Game, show: Callable[..., None], trial: Trial) -> FrameSink:
    clock = TicClock(game.description.tics_per_s, FPS)
    last = time.monotonic()

    def on_frame(draw: Callable[[], Frame]) -> None:
        nonlocal last
        if clock.count_frames():
            show(draw().pixels)
        now = time.monotonic()
        trial.late_s += max(0.0, now - last - 1 / game.description.tics_per_s)
        time.sleep(clock.wait_s(now))
        last = time.monotonic()

    return on_frame


def _repeat(game_id: str, learning: Learning) -> Iterator[str]:
    """Play the beginning of an episode in two processes of a game that can be repeated."""
    with contextlib.closing(make_game(game_id, learning)) as game:
        if not game.description.repeatable:
            return
        first = _first_steps(game)
    with contextlib.closing(make_game(game_id, learning)) as game:
        game.reset(1)
        second = _first_steps(game)
    for step, (before, after) in enumerate(zip(first, second, strict=False)):
        if before != after:
            yield (
                f"an episode that is repeated differs from step {step} on: what does begin leave "
                "of the episode before?"
            )
            return
    _print(f"✓ an episode that is repeated is the same for {len(first) - 1} steps, to the pixel")


def _first_steps(game: Game) -> list[bytes]:
    choose = random.Random(0)
    seen = [np.asarray(game.reset(0)).tobytes()]
    for _ in range(REPEATED_STEPS):
        result = game.step(choose.randrange(len(game.action_names)))
        seen.append(np.asarray(result.observation).tobytes() + repr(result.reward).encode())
        if result.terminated or result.truncated:
            break
    return seen


def _print(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()
