"""The second promise: a fresh policy learns a game within minutes on two cores.

``python -m benchmarks.learning [--game doom:basic] [--minutes 3] [--seed 0] [--json FILE]`` plays
in one thread and learns in another, with the fleet's own actor, rollouts and learner, without
HTTP. It prints the mean of the last 100 unshaped returns over time.
"""

import argparse
import json
import platform
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from metabonk.games import describe_game, make_game
from metabonk.learner.appo import Learner
from metabonk.learner.figures import Figures
from metabonk.learner.queue import RolloutQueue
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder, encode_weights
from metabonk.settings.schema import Learning

WINDOW = 100


@dataclass(frozen=True)
class Point:
    """The fleet at one moment.

    Attributes:
        seconds: since the start.
        steps: decisions made.
        mean_return: of the last 100 episodes, unshaped.
        episodes: finished.
        version: of the weights.
    """

    seconds: float
    steps: int
    mean_return: float
    episodes: int
    version: int


class Play(threading.Thread):
    """One worker without a stream."""

    def __init__(self, game_id: str, settings: Learning, queue: RolloutQueue, index: int) -> None:
        super().__init__(name=f"play-{index}", daemon=True)
        seed = settings.seed + index
        self.game = make_game(
            game_id,
            seed=seed,
            frame_skip=settings.frame_skip,
            observation=settings.observation,
        )
        self.actor = Actor(PolicySpec.of(self.game, settings), seed=seed)
        self.queue = queue
        self.builder = RolloutBuilder(self.actor.spec, settings.rollout_steps)
        self.weights: bytes | None = None
        self.returns: deque[float] = deque(maxlen=WINDOW)
        self.episodes = self.steps = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            observation, total, done = self.game.reset(), 0.0, False
            while not done and not self.stopped.is_set():
                (decision,) = self.actor.act([observation], [0])
                moved = self.game.step(decision.action)
                total += moved.reward
                self.steps += 1
                rollout = self.builder.add(observation, decision, moved, self.actor.version)
                if rollout is not None:
                    self.send(rollout)
                observation = moved.observation
                done = moved.terminated or moved.truncated
            self.returns.append(total)
            self.episodes += 1
        self.game.close()

    def send(self, rollout: Rollout) -> None:
        while not self.queue.put(Rollout.from_bytes(rollout.to_bytes())):
            if self.stopped.wait(0.02):
                return
        weights, self.weights = self.weights, None
        if weights is not None:
            self.actor.load(weights)


def train(game_id: str, settings: Learning, seconds: float, *, workers: int) -> list[Point]:
    """Learns for ``seconds``; a point every ten."""
    description = describe_game(game_id, observation=settings.observation)
    spec = PolicySpec.of(description, settings)
    learner = Learner(spec, settings, reward_scale=description.reward_scale)
    figures = Figures()
    queue = RolloutQueue(2 * settings.batch_steps)
    plays = [Play(game_id, settings, queue, index) for index in range(workers)]
    began = time.monotonic()
    points: list[Point] = []
    console = Console()
    for play in plays:
        play.start()
    try:
        while (elapsed := time.monotonic() - began) < seconds:
            if rollouts := queue.take(settings.batch_steps, 0.5):
                figures.updated(learner.update(rollouts), learner.counters)
                weights = encode_weights(learner.network, learner.counters.version)
                for play in plays:
                    play.weights = weights
            if elapsed >= 10 * (len(points) + 1):
                points.append(_point(elapsed, plays, learner.counters.version))
                console.print(_line(points[-1], figures), highlight=False)
    finally:
        for play in plays:
            play.stopped.set()
        for play in plays:
            play.join(10)
    return points


def _point(elapsed: float, plays: list[Play], version: int) -> Point:
    returns = [value for play in plays for value in play.returns]
    return Point(
        seconds=round(elapsed, 1),
        steps=sum(play.steps for play in plays),
        mean_return=round(sum(returns) / max(1, len(returns)), 2),
        episodes=sum(play.episodes for play in plays),
        version=version,
    )


def _line(point: Point, figures: Figures) -> str:
    status = figures.status()
    terms = "  ".join(f"{name} {value:.3f}" for name, value in status.losses.items())
    return (
        f"{point.seconds:6.0f} s  {point.steps:7d} steps  return {point.mean_return:8.2f}  "
        f"{point.episodes:5d} episodes  version {point.version:4d}  lag {status.policy_lag:.1f}  "
        f"{terms}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    overrides = dict(pair.split("=", 1) for pair in arguments.set)
    settings = Learning.model_validate({"seed": arguments.seed, **overrides})
    points = train(arguments.game, settings, arguments.minutes * 60, workers=arguments.workers)
    if arguments.json:
        result = {"machine": platform.platform(), "curve": [vars(point) for point in points]}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
