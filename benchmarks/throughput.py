"""Steps per second, played and learned from, compared with other libraries.

``python -m benchmarks.throughput [--scenario basic] [--seconds 60] [--rounds 3] [--only NAME …]
[--json FILE]`` measures the contestants in alternating rounds, so that other load affects all:

* MetaBonk with NatureCNN and the batches of RL Baselines3 Zoo, against Stable-Baselines3 PPO: with
  the same number of passes over each batch, and with one pass in as many gradient steps;
* MetaBonk with Sample Factory's network and batches, against Sample Factory's own ViZDoom recipe;
* MetaBonk with default settings, without and with one live stream: the cost of a stream.

All play the same scenario with the same frame skip. MetaBonk is a whole fleet, started by its
command line. The other libraries are installed into virtual environments under ``--cache`` and run
at the priority that MetaBonk gives its own training. The table has medians, all rounds, the ratio
to the counterpart, and milliseconds of CPU per step, which depend least on other load.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.processes import kill_tree
from tests.support.waiting import until

from benchmarks import breakdown
from benchmarks.rivals.environments import SAMPLE_FACTORY, STABLE_BASELINES3, Rival, python_of
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import StreamState
from metabonk.settings.learning import Learning
from metabonk.settings.schema import available_cores
from metabonk.system.process import BACKGROUND_NICE

SKIP = 4
START_S = 180.0
RIVALS = Path(__file__).parent / "rivals"

NATURE = {
    "observation_width": "84",
    "observation_height": "84",
    "grayscale": "true",
    "network": "nature",
    "batch_size": "1024",
    "epochs": "4",
    "num_minibatches": "4",
}
NATURE_ONCE = NATURE | {"epochs": "1", "num_minibatches": "16"}
"""The same number of gradient steps, each from steps that no other one uses."""

SAMPLE_FACTORY_NETWORK = {
    "network": "sample_factory",
    "recurrent": "true",
    "batch_size": "1024",
    "epochs": "1",
    "num_minibatches": "1",
}
DEFAULTS: dict[str, str] = {}


class Speed(NamedTuple):
    """Speed of a contestant.

    Attributes:
        per_second: steps played and learned from.
        cpu_ms: milliseconds of CPU per step, all processes together.
    """

    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class Contestant:
    """Trainer that is compared.

    Attributes:
        name: shown in the table.
        measure: returns its speed over the given seconds, after a warm-up of some updates.
        against: name of its counterpart.
    """

    name: str
    measure: Callable[[float], Speed]
    against: str | None = None


def contestants(scenario: str, cache: Path) -> list[Contestant]:
    """Return all contestants; counterparts are adjacent."""

    def ours(learning: Mapping[str, str], *, live: bool = False) -> Callable[[float], Speed]:
        return lambda seconds: measure_fleet(f"doom:{scenario}", learning, seconds, live=live)

    def theirs(rival: Rival) -> Callable[[float], Speed]:
        return lambda seconds: measure_rival(rival, scenario, cache, seconds)

    return [
        Contestant(STABLE_BASELINES3.name, theirs(STABLE_BASELINES3)),
        Contestant("MetaBonk, NatureCNN", ours(NATURE), STABLE_BASELINES3.name),
        Contestant("MetaBonk, one pass", ours(NATURE_ONCE), STABLE_BASELINES3.name),
        Contestant(SAMPLE_FACTORY.name, theirs(SAMPLE_FACTORY)),
        Contestant("MetaBonk, its network", ours(SAMPLE_FACTORY_NETWORK), SAMPLE_FACTORY.name),
        Contestant("MetaBonk, default settings", ours(DEFAULTS)),
        Contestant("MetaBonk, one live", ours(DEFAULTS, live=True), "MetaBonk, default settings"),
    ]


def measure_fleet(game: str, learning: Mapping[str, str], seconds: float, *, live: bool) -> Speed:
    """Measure the steps that a fleet of one worker plays and its learner keeps up with."""
    environment = environment_of(learning, live=live)
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), "--workers", "1", "--game", game, environment=environment) as fleet,
    ):
        if live:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), START_S)
        until("some updates", lambda: _learner(fleet).updates >= 3, START_S)
        if unknown := [line for line in fleet.output.read_text().splitlines() if "note:" in line]:
            raise SystemExit(f"the fleet ignores a setting: {unknown[0]}")
        before, began, spent = steps_of(fleet), time.monotonic(), _cpu(fleet.process.pid)
        learned = _learner(fleet).steps_trained
        time.sleep(seconds)
        played, elapsed = steps_of(fleet) - before, time.monotonic() - began
        spent = _cpu(fleet.process.pid) - spent
        learned = _learner(fleet).steps_trained - learned
        fleet.stop()
    # Steps beyond what the learner keeps up with don't count.
    steps = min(played, learned + int(learning.get("batch_size", Learning().batch_size)))
    return Speed(steps / elapsed, 1e3 * spent / steps)


def environment_of(learning: Mapping[str, str], *, live: bool) -> dict[str, str]:
    """Return a fleet's environment variables, with one stream or none."""
    return {
        "METABONK_STREAM_ENABLED": str(live).lower(),
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_LEARNING_FRAME_SKIP": str(SKIP),
        **{f"METABONK_LEARNING_{name.upper()}": value for name, value in learning.items()},
    }


def steps_of(fleet: FleetUnderTest) -> int:
    """Return the steps of all workers."""
    return sum(status.step for status in fleet.statuses().values())


def _learner(fleet: FleetUnderTest) -> LearnerStatus:
    answer = httpx.get(f"{fleet.learner}/status").raise_for_status()
    return LearnerStatus.model_validate(answer.json())


def doom_arguments(scenario: str) -> tuple[str, ...]:
    """Return the arguments of a rival that plays a scenario."""
    return ("--scenario", scenario, "--skip", str(SKIP))


class Report(NamedTuple):
    """Report of a rival after an update.

    Attributes:
        at: monotonic seconds.
        steps: played so far.
        cpu: seconds of CPU so far, of all its processes.
        mean_return: of the last 100 episodes, if the rival reports it.
    """

    at: float
    steps: int
    cpu: float
    mean_return: float | None


@contextmanager
def running(rival: Rival, cache: Path, *arguments: str) -> Iterator[list[Report]]:
    """Run a rival within the block; the list grows by one report per update.

    Args:
        rival: that runs.
        cache: see ``python_of``.
        arguments: of its script.
    """
    process = subprocess.Popen(
        [
            *("nice", "-n", str(BACKGROUND_NICE)),
            *(str(python_of(rival, cache)), str(RIVALS / rival.script)),
            *arguments,
        ],
        # A path of this checkout would shadow the rival's own packages.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    reports: list[Report] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            match line.split():
                case ["steps", steps, *rest]:
                    mean_return = float(rest[1]) if rest else None
                    spent = _cpu(process.pid)
                    reports.append(Report(time.monotonic(), int(steps), spent, mean_return))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield reports
    finally:
        kill_tree(process)
        reader.join(5)


def measure_rival(rival: Rival, scenario: str, cache: Path, seconds: float) -> Speed:
    """Measure the steps between the first and the last update within ``seconds``."""
    with running(rival, cache, *doom_arguments(scenario)) as reports:
        until(f"some updates of {rival.name}", lambda: len(reports) > 3, START_S)
        time.sleep(seconds)
        until("two updates in the time", lambda: len(reports) > 4, START_S)
        first, last = reports[3], reports[-1]
    steps = last.steps - first.steps
    return Speed(steps / (last.at - first.at), 1e3 * (last.cpu - first.cpu) / steps)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants."""
    root = psutil.Process(pid)
    spent = [member.cpu_times() for member in [root, *root.children(recursive=True)]]
    return sum(times.user + times.system for times in spent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="basic")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="prefix of a contestant's name"
    )
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "metabonk-rivals")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    chosen = [
        contestant
        for contestant in contestants(arguments.scenario, arguments.cache)
        if not arguments.only or any(map(contestant.name.startswith, arguments.only))
    ]
    speeds: dict[str, list[Speed]] = {contestant.name: [] for contestant in chosen}
    for number in range(1, arguments.rounds + 1):
        for contestant in chosen:
            speed = contestant.measure(arguments.seconds)
            speeds[contestant.name].append(speed)
            line = f"{speed.per_second:.0f} steps/s, {speed.cpu_ms:.2f} CPU ms per step"
            console.print(f"round {number}: {contestant.name} {line}")
    console.print(_table(chosen, speeds))
    parts = breakdown.measure(
        breakdown.settings_of(f"doom:{arguments.scenario}", 8, {}), arguments.seconds
    )
    console.print(breakdown.table_of(parts))
    if arguments.json:
        result = {
            "machine": f"{platform.platform()}, {available_cores()} cores",
            "scenario": arguments.scenario,
            "speeds": {name: [each._asdict() for each in own] for name, own in speeds.items()},
            "breakdown": parts,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _table(chosen: list[Contestant], speeds: Mapping[str, list[Speed]]) -> Table:
    """Return a table of medians and, for each pair, the median of the ratios of all rounds."""
    columns = ("contestant", "steps/s", "rounds", "CPU ms per step", "ratio")
    table = Table(*columns, title=f"{available_cores()} cores")
    for contestant in chosen:
        own = speeds[contestant.name]
        ratio = ""
        if other := speeds.get(contestant.against or ""):
            pairs = zip(own, other, strict=True)
            ratios = [mine.per_second / yours.per_second for mine, yours in pairs]
            ratio = f"{statistics.median(ratios):.2f}× {contestant.against}"
        table.add_row(
            contestant.name,
            f"{statistics.median(each.per_second for each in own):.0f}",
            " ".join(f"{each.per_second:.0f}" for each in own),
            f"{statistics.median(each.cpu_ms for each in own):.2f}",
            ratio,
        )
    return table


if __name__ == "__main__":
    main()
