"""Episodes repeated from their logs: are they the same, and how fast are they drawn?

``python -m benchmarks.replays [--episodes 100] [--steps 20000]`` plays episodes of five games, half
of them at random and half by a policy trained for that many steps. It repeats them in another
game, drawn at 1280×720, in another order, and compares every reward; and of ten episodes per game
every frame with that of an engine that drew it while it was played. It prints a line per game, with
the speed of rendering on one core: seconds of video per second of CPU time, that of the engine
included. About twenty minutes on two busy cores.
"""

import argparse
import contextlib
import hashlib
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from metabonk.cli.debug import play_and_learn
from metabonk.errors import EpisodeDiffers
from metabonk.frame import Frame
from metabonk.games import Game, Purpose, describe_game, episode_seeds, make_game
from metabonk.policy import Actor, PolicySpec, encode_weights
from metabonk.policy.defaults import with_defaults
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.replays.renderer import draw, opened_game, repeat
from metabonk.replays.video import ReplayVideo
from metabonk.settings import Settings

GAMES = (
    "doom:basic",
    "doom:defend_the_center",
    "gym:CartPole-v1",
    "gym:ALE/Breakout-v5",
    "gym:MiniGrid-Empty-5x5-v0",
)
SIZE = 1280, 720
DRAWN = 10
"""Episodes per game whose frames are compared."""

RENDERED = 5
"""Episodes per game that are written as videos."""

FrameHashes = list[bytes]


@dataclass
class Played:
    """An episode, and the hashes of its frames if it was drawn while it was played."""

    data: bytes
    frames: FrameHashes | None


@dataclass
class Result:
    """Outcome for one game."""

    episodes: int = 0
    steps: int = 0
    log_bytes: int = 0
    equal: int = 0
    drawn: int = 0
    drawn_equal: int = 0
    frames: int = 0
    speeds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def main() -> None:
    """Play, repeat, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="per game")
    parser.add_argument("--steps", type=int, default=20_000, help="of training")
    parser.add_argument("--game", action="append", help="instead of all five; repeatable")
    options = parser.parse_args()
    console = Console(width=140)
    table = Table("game", "episodes", "equal", "drawn", "frames", "equal", "bytes/100 steps")
    table.add_column("× real time")
    table.add_column("kbit/s")
    for game in options.game or GAMES:
        result = measure(Settings(game=game), options.episodes, options.steps)
        for difference in result.differences:
            console.print(difference)
        table.add_row(
            game,
            str(result.episodes),
            str(result.equal),
            str(result.drawn),
            str(result.frames),
            str(result.drawn_equal),
            f"{100 * result.log_bytes / result.steps:.0f}",
            f"{statistics.median(result.speeds):.1f}",
            f"{statistics.median(result.rates):.0f}",
        )
    console.print(table)


def measure(settings: Settings, episodes: int, steps: int) -> Result:
    learning = with_defaults(settings.learning, describe_game(settings.game, settings.learning))
    settings = settings.model_copy(update={"learning": learning})
    actors = [lambda spec: Actor(spec, seed=1), lambda spec: trained(settings, spec, steps)]
    played = [
        episode
        for number, make_actor in enumerate(actors)
        for episode in play(settings, make_actor, episodes // 2, run_seed=number)
    ]
    random.Random(0).shuffle(played)
    result = Result()
    first = EpisodeLog.from_bytes(played[0].data)
    with opened_game(first.setup, learning, SIZE) as game:
        for episode in played:
            compare(episode, game, result)
        for episode in played[:RENDERED]:
            render(EpisodeLog.from_bytes(episode.data), game, result)
    return result


def trained(settings: Settings, spec: PolicySpec, steps: int) -> Actor:
    for progress in play_and_learn(settings, steps):
        learner = progress.learner
    actor = Actor(spec, seed=1)
    actor.load(encode_weights(learner.network, learner.counters.version))
    return actor


def play(
    settings: Settings, make_actor: Callable[[PolicySpec], Actor], episodes: int, run_seed: int
) -> Iterator[Played]:
    """Play episodes of one game, some of them drawn; an untrained policy acts at random."""
    learning = settings.learning
    with contextlib.closing(make_game(settings.game, learning)) as game:
        actor = make_actor(PolicySpec.of(game, learning))
        recorder = EpisodeRecorder(EpisodeSetup.of(game.description, learning))
        seeds = episode_seeds(run_seed, Purpose.EVALUATION)
        for number in range(episodes):
            hashes: FrameHashes | None = [] if number < DRAWN // 2 else None
            game.set_render_size(None if hashes is None else SIZE)
            yield play_one(game, actor, recorder, next(seeds), hashes)


def play_one(
    game: Game, actor: Actor, recorder: EpisodeRecorder, seed: int, hashes: FrameHashes | None
) -> Played:
    recorder.begin(seed, game.carried_state())
    observation = game.reset(seed)
    actor.reset_state(0)
    total_reward, is_over, sink = 0.0, False, None
    if hashes is not None:
        hashes.append(hash_of(game.frame()))
        sink = lambda draw_frame: hashes.append(hash_of(draw_frame()))  # noqa: E731
    while not is_over:
        (decision,) = actor.act([observation], [0])
        transition = game.step(decision.action, sink)
        recorder.add(decision, transition)
        observation = transition.observation
        total_reward += transition.reward
        is_over = transition.terminated or transition.truncated
        if transition.life_lost:
            actor.reset_state(0)
    recording = recorder.finish(actor.version, total_reward)
    data = recording.to_bytes() if recording is not None else None
    assert data is not None, "short enough for a log"
    return Played(data, hashes)


def compare(episode: Played, game: Game, result: Result) -> None:
    """Repeat an episode, and count whether it came out as it was played."""
    log = EpisodeLog.from_bytes(episode.data)
    hashes: FrameHashes = []

    def on_tic(tic: int, draw_frame: Callable[[], Frame]) -> None:
        if episode.frames is not None:
            hashes.append(hash_of(draw_frame()))

    result.episodes += 1
    result.steps += len(log)
    result.log_bytes += len(episode.data)
    try:
        repeat(log, game, on_tic)
    except EpisodeDiffers as difference:
        result.differences.append(str(difference))
        return
    result.equal += 1
    if episode.frames is not None:
        result.drawn += 1
        result.frames += len(hashes)
        result.drawn_equal += hashes == episode.frames


def render(log: EpisodeLog, game: Game, result: Result) -> None:
    """Write an episode's video, and note how fast that was and how large it is."""
    pace = game.description.tics_per_s
    with tempfile.TemporaryDirectory() as folder:
        file, before = Path(folder, "replay.mp4"), cpu_s()
        with ReplayVideo(file, size=SIZE, tics_per_s=pace) as video:
            length_s = draw(log, game, video) / pace
        result.speeds.append(length_s / (cpu_s() - before))
        result.rates.append(file.stat().st_size * 8 / 1000 / length_s)


def cpu_s() -> float:
    """Return the CPU time of this process and of its engines."""
    process = psutil.Process(os.getpid())
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def hash_of(frame: Frame) -> bytes:
    return hashlib.blake2b(frame.pixels.tobytes(), digest_size=16).digest()


if __name__ == "__main__":
    main()
