"""Cost and size of episode logs: steps per second of a worker's games with and without them.

``python -m benchmarks.episode_log [--game gym:CartPole-v1] [--games 32] [--rounds 40]`` samples in
turns from games that are recorded and from others that are not, in one process without a learner,
which would make the share of recording smaller. As in a worker, recordings are encoded on another
thread, twice a second.
"""

import argparse
import contextlib
import itertools
import statistics
import threading
import time
import timeit
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from rich.console import Console

from metabonk.games import Transition, make_game
from metabonk.policy import Actor, Decision, PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder, Recording
from metabonk.settings.learning import Learning
from metabonk.settings.schema import available_cores
from metabonk.worker.env_pool import call_on
from metabonk.worker.heartbeat import INTERVAL_S
from metabonk.worker.sampler import DoubleBufferedSampler

NOTHING = np.zeros(1, np.uint8)
SAMPLE = 100
"""Last episodes that are recorded again."""

REPEATS = 50


class Sample(NamedTuple):
    """Rates of one round.

    Attributes:
        steps_per_s: by the clock.
        cpu_s: of the whole process for a step, seconds.
    """

    steps_per_s: float
    cpu_s: float


class Games:
    """Some games, and the thread that encodes their recordings.

    Args:
        game_id: of each of them.
        count: number of games.
        recorded: record them.
        stack: closes them.
    """

    def __init__(
        self, game_id: str, count: int, *, recorded: bool, stack: contextlib.ExitStack
    ) -> None:
        self._recorded = recorded
        self._thread = stack.enter_context(ThreadPoolExecutor(1))
        self._steps = 0
        self._finished: deque[Recording] = deque()
        self.logs: list[bytes] = []
        learning = Learning()

        def open_runner(number: int) -> EnvRunner:
            game = make_game(game_id, learning, shown=False)
            stack.callback(call_on, self._thread, game.close)
            setup = EpisodeSetup.of(game.description, learning)
            runner = EnvRunner(
                game,
                number,
                RolloutBuilder(PolicySpec.of(game, learning), learning.rollout_steps),
                seeds=itertools.count(1_000_000 * number),
                recorder=EpisodeRecorder(setup) if recorded else None,
            )
            runner.reset()
            return runner

        self._runners = [call_on(self._thread, open_runner, number) for number in range(count)]
        self._actor = Actor(PolicySpec.of(self._runners[0].game, learning))

    def sample(self, seconds: float) -> Sample:
        """Play for some time."""
        in_process = self._runners[0].game.description.in_process
        sampler = DoubleBufferedSampler(
            self._actor.act,
            EnvRunner.step,
            self._on_step,
            lambda runner: self._thread if in_process else None,
            parts=1,
            threads=available_cores(),
        )
        ended = threading.Event()
        encoder = threading.Thread(target=self._encode, args=(ended,))
        with contextlib.closing(sampler):
            self._steps = 0
            began, cpu_began = time.monotonic(), time.process_time()
            encoder.start()
            sampler.run(lambda: self._runners, lambda: time.monotonic() < began + seconds)
            ended.set()
            encoder.join()
            took, cpu_took = time.monotonic() - began, time.process_time() - cpu_began
        return Sample(self._steps / took, cpu_took / self._steps)

    def _on_step(self, runner: EnvRunner, result: StepResult) -> None:
        self._steps += 1
        if result.recording is not None:
            self._finished.append(result.recording)

    def _encode(self, ended: threading.Event) -> None:
        more = True
        while more:
            more = not ended.wait(INTERVAL_S)
            while self._finished:
                self.logs.append(self._finished.popleft().to_bytes() or b"")


def recording_s(log: EpisodeLog) -> float:
    """Return the least time to record and encode an episode again, seconds for a step."""
    recorder = EpisodeRecorder(log.setup)
    probabilities = np.split(log.probabilities.astype(np.float32) / 255, len(log))
    steps = [
        (
            Decision(log.action(step), 0.0, float(log.values[step]), probabilities[step][0]),
            Transition(NOTHING, float(log.rewards[step]), False, False, tics=int(log.tics[step])),
        )
        for step in range(len(log))
    ]

    def record() -> None:
        recorder.begin(log.seed, log.carried)
        for decision, transition in steps:
            recorder.add(decision, transition)
        recording = recorder.finish(log.policy_version, log.total_reward)
        assert recording is not None
        recording.to_bytes()

    return min(timeit.repeat(record, number=1, repeat=REPEATS)) / len(log)


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="gym:CartPole-v1")
    parser.add_argument("--games", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=20, help="of each kind")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        plain, recorded = (
            Games(arguments.game, arguments.games, recorded=each, stack=stack)
            for each in (False, True)
        )
        kinds = (plain, recorded)
        for games in kinds:
            games.sample(arguments.seconds)
        pairs = []
        for number in range(arguments.rounds):
            # Which of them is first takes turns as well.
            order = kinds if number % 2 else kinds[::-1]
            samples = {games: games.sample(arguments.seconds) for games in order}
            pairs.append(tuple(samples[games] for games in kinds))
        console = Console()
        for name in Sample._fields:
            without, recording = ([getattr(pair[each], name) for pair in pairs] for each in (0, 1))
            ratios = [b / a for a, b in zip(without, recording, strict=True)]
            console.print(
                f"{name}: {statistics.median(without):.4g} without logs, "
                f"{statistics.median(recording):.4g} with; ratio {statistics.median(ratios):.4f}, "
                f"quartiles {', '.join(f'{each:.4f}' for each in statistics.quantiles(ratios))}"
            )
        logs = [EpisodeLog.from_bytes(log) for log in recorded.logs[-SAMPLE:] if log]
        cost = sum(recording_s(log) * len(log) for log in logs) / sum(map(len, logs))
        share = cost / statistics.median(pair[0].cpu_s for pair in pairs)
        console.print(
            f"recording alone: {1e6 * cost:.2f} µs a step, {100 * share:.2f} % of its CPU time"
        )
        sizes, steps = list(map(len, recorded.logs)), statistics.mean(map(len, logs))
        console.print(
            f"{len(sizes)} logs: {statistics.median(sizes):.0f} bytes (median), {steps:.0f} steps "
            f"(mean), {100 * statistics.mean(sizes) / steps:.0f} bytes for 100 steps"
        )


if __name__ == "__main__":
    main()
