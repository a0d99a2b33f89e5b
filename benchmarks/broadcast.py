"""Steps per second of other trainers with ``Broadcast`` and without it.

``python -m benchmarks.broadcast [--rounds 30] [--seconds 0.5] [--only WORDS]`` trains
Stable-Baselines3's PPO in four environments in one process and in four, with the policy's thoughts
and without, and steps Gymnasium's ``AsyncVectorEnv``: without the wrapper, with it unwatched, and
with all of them watched at the game's speed. The three take turns in each round, in another order
each time. It prints medians, and the median of what a round's wrapper costs, with the half-width of
its 95 % confidence interval (McGill, Tukey and Larsen 1978).
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from metabonk.broadcast.places import find_rings
from metabonk.broadcast.playback import Playback
from metabonk.broadcast.records import EpisodeStart, Step, decode_payload
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.shadow import Shadow
from metabonk.broadcast.wrapper import Broadcast
from metabonk.sb3 import Thoughts
from metabonk.system import shared_memory

GAME = "CartPole-v1"
ENVIRONMENTS = 4
ROLLOUT = 128
STEPS = 100
VARIANTS = ("without", "unwatched", "watched")
FPS = 50
"""Of the game."""
DEMAND_S = 3600.0
"""Longer than any measurement: a demand is taken back."""

Stepper = Callable[[float], float]
"""Trains for some seconds; returns steps per second."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--only", default="", help="trainers whose names have these words")
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    table = Table("trainer", *(f"{name}, steps/s" for name in VARIANTS), "unwatched", "watched")
    trainers = {
        "PPO, DummyVecEnv": lambda wrapper: ppo(DummyVecEnv, wrapper),
        "PPO, SubprocVecEnv": lambda wrapper: ppo(SubprocVecEnv, wrapper),
        "PPO, DummyVecEnv, Thoughts": lambda wrapper: ppo(DummyVecEnv, wrapper, Thoughts),
        "PPO, SubprocVecEnv, Thoughts": lambda wrapper: ppo(SubprocVecEnv, wrapper, Thoughts),
        "AsyncVectorEnv": asynchronous,
    }
    with tempfile.TemporaryDirectory(dir=shared_memory.PATH) as folder:
        os.environ |= {"METABONK_PATHS_RUNTIME": folder, "METABONK_HUB": "0"}
        for name in filter(lambda name: arguments.only in name, trainers):
            table.add_row(name, *compare(trainers[name], arguments.rounds, arguments.seconds))
    Console(width=120).print(table)


def compare(
    trainer: Callable[[Any], contextlib.AbstractContextManager[Stepper]],
    rounds: int,
    seconds: float,
) -> Iterator[str]:
    """Yield the cells of a trainer's row."""
    speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        steppers: dict[str, Stepper] = {}
        for name in VARIANTS:
            before = set(find_rings())
            wrapper = None if name == "without" else Broadcast
            steppers[name] = stack.enter_context(trainer(wrapper))
            steppers[name](seconds)
            if name == "watched":
                rings = [str(file) for file in set(find_rings()) - before]
                assert len(rings) == ENVIRONMENTS
                command = [sys.executable, "-m", "benchmarks.broadcast", "--read", *rings]
                stack.enter_context(stopped(subprocess.Popen(command)))
                steppers[name](2.0)
        for _ in range(rounds):
            for name in random.sample(VARIANTS, len(VARIANTS)):
                speeds[name].append(steppers[name](seconds))
    for name in VARIANTS:
        yield f"{statistics.median(speeds[name]):,.0f}"
    for name in VARIANTS[1:]:
        costs = [
            100 * (without / speed - 1)
            for without, speed in zip(speeds["without"], speeds[name], strict=True)
        ]
        low, _, high = statistics.quantiles(costs)
        yield f"{statistics.median(costs):+.2f} ± {1.57 * (high - low) / rounds**0.5:.2f} %"


@contextlib.contextmanager
def ppo(vector: Any, wrapper: Any, callback: Any = None) -> Iterator[Stepper]:
    environments = make_vec_env(
        GAME, ENVIRONMENTS, seed=0, wrapper_class=wrapper, vec_env_cls=vector
    )
    model = PPO("MlpPolicy", environments, n_steps=ROLLOUT, seed=0, device="cpu")

    def train(seconds: float) -> float:
        thoughts = None if callback is None or wrapper is None else callback()
        began, steps = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < seconds:
            model.learn(ROLLOUT * ENVIRONMENTS, thoughts, reset_num_timesteps=False)
            steps += ROLLOUT * ENVIRONMENTS
        return steps / passed

    yield train
    environments.close()


@contextlib.contextmanager
def asynchronous(wrapper: Any) -> Iterator[Stepper]:
    wrappers = [] if wrapper is None else [wrapper]
    environments = gymnasium.make_vec(GAME, ENVIRONMENTS, "async", wrappers=wrappers)
    environments.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, (STEPS, ENVIRONMENTS))

    def step(seconds: float) -> float:
        began, steps = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < seconds:
            for each in actions:
                environments.step(each)
            steps += STEPS * ENVIRONMENTS
        return steps / passed

    yield step
    environments.close()


@contextlib.contextmanager
def stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    yield
    process.kill()
    process.wait()


class Undrawn:
    """Stands for a shadow, whose own CPU time is another process's."""

    def begin(self, start: EpisodeStart) -> None:
        pass

    def step(self, step: Step) -> None:
        pass


class Viewer:
    """Plays the episodes of a ring, and asks for them as a shadow does."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reader, self._playback = RingReader(file), Playback(cast(Shadow, Undrawn()))
        self._demand = Demand.NOTHING

    def tic(self) -> None:
        """Show what comes next."""
        missed = self._reader.missed
        for entry in self._reader.read():
            records = decode_payload(entry.payload, entry.pixels)
            self._playback.add(records, has_gap=self._reader.missed > missed)
        if self._demand is Demand.NOTHING:
            self._playback.stop_recording()
        self._playback.tic(draw=False)
        demand = Demand.RECORDS if self._playback.wants_records else Demand.NOTHING
        if demand is not self._demand:
            self._demand = demand
            set_demand(self._file, demand, DEMAND_S)


def read(files: list[str]) -> None:
    """Play the episodes of rings at the game's speed and a shadow's priority, until killed."""
    os.nice(19)
    viewers = [Viewer(Path(file)) for file in files]
    while True:
        for viewer in viewers:
            viewer.tic()
        time.sleep(1 / FPS)


if __name__ == "__main__":
    main()
