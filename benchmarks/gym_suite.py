"""Time to a good policy on Gymnasium environments, beside Stable-Baselines3.

``python -m benchmarks.gym_suite [--only CartPole-v1 …] [--seeds 0 1 2] [--cores 0 1] [--json FILE]
[--plot FILE.svg]`` trains each environment with both, in turn, on the same two cores: a fleet with
default settings, started by its command line, one of its workers live all the while; and PPO with
its own tuned hyperparameters (``rivals/stable_baselines3_gym.py``). It prints the seconds from the
command until the mean of the last 100 unshaped returns reaches the threshold, and that mean at the
end. ``--until-reached`` ends a run at the threshold, and ``--trainers`` leaves one of them out.
``--read FILE …`` trains nothing, and shows what earlier calls have written with ``--json``.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.fleet import run_fleet

from benchmarks.curves import draw, stack
from benchmarks.learning import WINDOW, returns_of
from benchmarks.rivals.environments import STABLE_BASELINES3_GYM, python_of
from benchmarks.throughput import Report, running
from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

OURS = "MetaBonk"
THEIRS = STABLE_BASELINES3_GYM.name
POINT_S = 1.0
"""Time between two points of a curve, seconds."""

MAX_PLOTTED = 100
"""About as many points of a curve are plotted."""


class Task(NamedTuple):
    """An environment and its goal.

    Attributes:
        threshold: mean return of a good policy.
        limit_s: time for it, seconds.
    """

    threshold: float
    limit_s: float


TASKS = {
    "CartPole-v1": Task(475, 60),
    "Acrobot-v1": Task(-100, 90),
    "LunarLander-v3": Task(200, 300),
    "Pendulum-v1": Task(-250, 240),
    "MiniGrid-Empty-5x5-v0": Task(0.9, 60),
    "MiniGrid-DoorKey-5x5-v0": Task(0.9, 360),
    "ALE/Pong-v5": Task(-15, 600),
    "HalfCheetah-v5": Task(1500, 480),
}


class Run(NamedTuple):
    """One training.

    Attributes:
        seconds: from the command to the threshold; None if it was not reached.
        curve: seconds and mean return of the last 100 episodes.
        live: share of the time in which a worker was live; None where there are none.
    """

    seconds: float | None
    curve: list[tuple[float, float]]
    live: float | None = None

    @property
    def final(self) -> float | None:
        """Mean return at the end; None if no 100 episodes have ended."""
        return self.curve[-1][1] if self.curve else None


Trainer: TypeAlias = Callable[[str, Task, int, bool], Run]
Runs: TypeAlias = dict[str, dict[str, list[Run]]]
"""By environment and trainer."""


def train_fleet(name: str, task: Task, seed: int, until_reached: bool) -> Run:
    """Train with a fleet of two workers, one of them live."""
    environment = {"METABONK_CPU_MAX_SESSIONS": "1", "METABONK_LEARNING_SEED": str(seed)}
    arguments = ("--mode", "train", "--workers", "2", "--game", f"gym:{name}")
    live: list[bool] = []
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), *arguments, environment=environment) as fleet,
    ):

        def points() -> Iterator[tuple[float, float]]:
            while (seconds := time.monotonic() - began) < task.limit_s:
                try:
                    returns = returns_of(fleet)
                    # A fleet is live from its first stream on.
                    if (now := bool(fleet.in_state(StreamState.LIVE))) or live:
                        live.append(now)
                except httpx.HTTPError:
                    returns = []  # The page isn't up yet.
                if len(returns) == WINDOW:
                    yield seconds, statistics.fmean(returns)
                time.sleep(POINT_S)

        run = _follow(points(), task, until_reached)
        fleet.stop()
    return run._replace(live=statistics.fmean(live) if live else 0.0)


def train_rival(cache: Path, name: str, task: Task, seed: int, until_reached: bool) -> Run:
    """Train with Stable-Baselines3, until it has used up its budget of steps."""
    python_of(STABLE_BASELINES3_GYM, cache)
    began = time.monotonic()
    arguments = ("--environment", name, "--seed", str(seed))
    with running(STABLE_BASELINES3_GYM, cache, *arguments) as reports:
        return _follow(_points_of(reports, began, task.limit_s), task, until_reached)


def _points_of(
    reports: Sequence[Report], began: float, limit_s: float
) -> Iterator[tuple[float, float]]:
    seen = 0
    while time.monotonic() - began < limit_s:
        for report in reports[seen:]:
            seen += 1
            if report.mean_return is not None:
                yield report.at - began, report.mean_return
        time.sleep(POINT_S / 5)


def _follow(points: Iterator[tuple[float, float]], task: Task, until_reached: bool) -> Run:
    reached: float | None = None
    curve: list[tuple[float, float]] = []
    for seconds, mean_return in points:
        curve.append((round(seconds, 1), round(mean_return, 3)))
        if reached is None and mean_return >= task.threshold:
            reached = round(seconds, 1)
            if until_reached:
                break
    return Run(reached, curve)


def table_of(runs: Mapping[str, Mapping[str, Sequence[Run]]]) -> Table:
    """Return a table with a row for each environment and trainer."""
    columns = ("environment", "threshold", "trainer", "seconds to it", "return at the end", "live")
    table = Table(*columns, title=f"{available_cores()} cores, load {os.getloadavg()[0]:.1f}")
    for name, by_trainer in runs.items():
        for trainer, own in by_trainer.items():
            seconds = ", ".join("never" if r.seconds is None else f"{r.seconds:.0f}" for r in own)
            finals = ", ".join("none" if r.final is None else f"{r.final:.4g}" for r in own)
            live = ", ".join("" if r.live is None else f"{r.live:.0%}" for r in own)
            threshold = f"{TASKS[name].threshold:g}"
            table.add_row(name, threshold, trainer, seconds, finals, live.strip(", "))
    return table


def plot_of(runs: Mapping[str, Mapping[str, Sequence[Run]]]) -> str:
    """Return an SVG with a plot for each environment."""
    return stack(
        [
            partial(
                draw,
                {
                    trainer: [_thinned(run.curve) for run in own]
                    for trainer, own in by_trainer.items()
                },
                TASKS[name].threshold,
                name,
            )
            for name, by_trainer in runs.items()
        ]
    )


def _thinned(curve: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    return [*curve[:: max(1, len(curve) // MAX_PLOTTED)], *curve[-1:]]


def train_all(arguments: argparse.Namespace, console: Console) -> Runs:
    """Train what the arguments ask for, and print each result."""
    if arguments.cores:
        os.sched_setaffinity(0, arguments.cores)
    all_trainers: dict[str, tuple[str, Trainer]] = {
        "ours": (OURS, train_fleet),
        "theirs": (THEIRS, partial(train_rival, arguments.cache)),
    }
    trainers = dict(all_trainers[name] for name in arguments.trainers)
    runs: Runs = {}
    for name in arguments.only:
        runs[name] = {trainer: [] for trainer in trainers}
        for seed in arguments.seeds:
            for trainer, train in trainers.items():
                run = train(name, TASKS[name], seed, arguments.until_reached)
                runs[name][trainer].append(run)
                console.print(f"{name}, seed {seed}, {trainer}: {run.seconds} s, {run.final}")
    return runs


def read(files: Sequence[Path]) -> Runs:
    """Return the runs of several files together, in the order of ``TASKS``."""
    runs: Runs = {}
    for file in sorted(files):
        for name, by_trainer in json.loads(file.read_text())["runs"].items():
            together = runs.setdefault(name, {OURS: [], THEIRS: []})
            for trainer, own in by_trainer.items():
                together[trainer] += [Run(**run) for run in own]
    return {name: runs[name] for name in TASKS if name in runs}


def main() -> None:
    """Run all trainings and print their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=TASKS, metavar="ID")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--cores", nargs="+", type=int, metavar="CORE", help="default: those of this process"
    )
    parser.add_argument("--trainers", nargs="+", default=["ours", "theirs"], metavar="ours|theirs")
    parser.add_argument("--until-reached", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "metabonk-rivals")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--read", nargs="+", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    runs = read(arguments.read) if arguments.read else train_all(arguments, console)
    console.print(table_of(runs))
    if arguments.json:
        machine = f"{platform.platform()}, {available_cores()} cores"
        result = {
            name: {trainer: [run._asdict() for run in own] for trainer, own in by_trainer.items()}
            for name, by_trainer in runs.items()
        }
        arguments.json.write_text(json.dumps({"machine": machine, "runs": result}, indent=2))
    if arguments.plot:
        arguments.plot.write_text(plot_of(runs))


if __name__ == "__main__":
    main()
