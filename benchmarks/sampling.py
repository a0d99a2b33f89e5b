"""Steps per second of one unseen worker without a learner, by number of games and processes.

``python -m benchmarks.sampling [--game gym:CartPole-v1] [--games 1,8,16,32,64] [--processes 0]
[--seconds 3]`` prints medians of three rounds, in which all workers take turns, with the policy
deciding for all games at once and for half of them. ``--processes 0,2,16`` are those of the games
but the first; 0: all run in the worker's own.
"""

import argparse
import contextlib
import itertools
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

from metabonk.games import Game, make_game
from metabonk.games.remote import GameProcess, RemoteGame
from metabonk.policy import Actor, PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.settings.learning import Learning
from metabonk.settings.schema import available_cores
from metabonk.worker.env_pool import EnvPool, call_on, measure_step_s
from metabonk.worker.sampler import DoubleBufferedSampler

ROUNDS = 3
PARTS = (1, 2)


class Worker:
    """The games of one worker."""

    def __init__(
        self, game_id: str, count: int, processes: int, stack: contextlib.ExitStack
    ) -> None:
        learning = Learning()
        thread = stack.enter_context(ThreadPoolExecutor(1))
        game = call_on(thread, make_game, game_id, learning)
        self.actor = Actor(PolicySpec.of(game, learning))
        self.step_s = call_on(thread, measure_step_s, game, self.actor)
        self.steps = 0

        def make_other(number: int, process: GameProcess | None) -> Game:
            if process is None:
                return make_game(game_id, learning, shown=False)
            return RemoteGame(process, number, game_id, learning, game.description)

        def open_runner(number: int, process: GameProcess | None) -> EnvRunner:
            builder = RolloutBuilder(self.actor.spec, learning.rollout_steps)
            opened = make_other(number, process) if number else game
            runner = EnvRunner(opened, number, builder, seeds=itertools.count(1000 * number))
            runner.reset()
            return runner

        first = call_on(thread, open_runner, 0, None)
        self.pool = EnvPool(first, thread, open_runner, count, processes)
        stack.callback(self.pool.close)
        self.pool.start()
        while len(self.pool.all()) < count:
            time.sleep(0.01)

    def sample(self, seconds: float, parts: int) -> float:
        """Play; return steps per second."""
        sampler = DoubleBufferedSampler(
            self.actor.act,
            EnvRunner.step,
            self._on_step,
            self.pool.thread_of,
            parts=parts,
            threads=available_cores(),
        )
        with contextlib.closing(sampler):
            self.steps, began = 0, time.monotonic()
            sampler.run(self.pool.all, lambda: time.monotonic() < began + seconds)
            return self.steps / (time.monotonic() - began)

    def _on_step(self, runner: EnvRunner, result: StepResult) -> None:
        self.steps += 1


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="gym:CartPole-v1")
    parser.add_argument("--games", default="1,8,16,32,64")
    parser.add_argument("--processes", default="0")
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    games = [int(count) for count in arguments.games.split(",")]
    processes = [int(count) for count in arguments.processes.split(",")]
    kinds = list(itertools.product(games, processes))
    rates: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        workers = {kind: Worker(arguments.game, *kind, stack) for kind in kinds}
        for _ in range(ROUNDS):
            for kind, worker in workers.items():
                for parts in PARTS:
                    rates[*kind, parts].append(worker.sample(arguments.seconds, parts))
        step_ms = 1000 * statistics.median(worker.step_s for worker in workers.values())
    table = Table(title=f"{arguments.game}, {step_ms:.3f} ms per step alone")
    for column in ("games", "processes", "all at once, steps/s", "in two halves, steps/s"):
        table.add_column(column, justify="right")
    for kind in kinds:
        medians = [statistics.median(rates[*kind, parts]) for parts in PARTS]
        table.add_row(*map(str, kind), *(f"{rate:,.0f}" for rate in medians))
    Console().print(table)


if __name__ == "__main__":
    main()
