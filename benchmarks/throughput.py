"""Decisions a second, played and learned from, beside the libraries people would use instead.

``python -m benchmarks.throughput [--scenario basic] [--seconds 60] [--rounds 3] [--only NAME …]
[--json FILE]`` measures every contestant in each round, one after the other, so that whatever else
the machine does meets all of them:

* MetaBonk with NatureCNN and the batches of RL Baselines3 Zoo, against Stable-Baselines3 PPO: with
  as many passes over each batch, and with one pass in as many gradient steps;
* MetaBonk with Sample Factory's network and batches, against Sample Factory's own ViZDoom recipe;
* MetaBonk as it comes, with nothing live and with one live stream: what a stream costs.

All play the same scenario and hold an action for the same tics. MetaBonk is a whole fleet, started
by its command line. The rivals are installed into virtual environments under ``--cache``, and run
at the low priority that MetaBonk gives its own training: what else the machine does takes as much
from each. CPU milliseconds a decision, of all processes of a contestant, hang least on that.
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

from benchmarks.breakdown import measure as measure_parts
from benchmarks.breakdown import settings_of, table_of
from benchmarks.rivals.environments import SAMPLE_FACTORY, STABLE_BASELINES3, Rival, python_of
from metabonk.messages import LearnerStatus, StreamState
from metabonk.settings.schema import Learning, available_cores
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
"""As many gradient steps, each from decisions that no other step has seen."""

SAMPLE_FACTORYS = {
    "network": "sample_factory",
    "recurrent": "true",
    "batch_size": "1024",
    "epochs": "1",
    "num_minibatches": "1",
}
AS_IT_COMES: dict[str, str] = {}


class Speed(NamedTuple):
    """How fast somebody plays and learns.

    Attributes:
        per_second: decisions.
        cpu_ms: milliseconds of CPU that a decision takes, all processes together.
    """

    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class Contestant:
    """Somebody who plays and learns.

    Attributes:
        name: for people.
        measure: its speed, over so many seconds after a warm-up of some updates.
        against: whom it is to be compared with.
    """

    name: str
    measure: Callable[[float], Speed]
    against: str | None = None


def contestants(scenario: str, cache: Path) -> list[Contestant]:
    """Everybody, those to be compared next to each other."""

    def ours(learning: Mapping[str, str], *, live: bool = False) -> Callable[[float], Speed]:
        return lambda seconds: measure_fleet(f"doom:{scenario}", learning, seconds, live=live)

    def theirs(rival: Rival) -> Callable[[float], Speed]:
        return lambda seconds: measure_rival(rival, scenario, cache, seconds)

    return [
        Contestant(STABLE_BASELINES3.name, theirs(STABLE_BASELINES3)),
        Contestant("MetaBonk, NatureCNN", ours(NATURE), STABLE_BASELINES3.name),
        Contestant("MetaBonk, one pass", ours(NATURE_ONCE), STABLE_BASELINES3.name),
        Contestant(SAMPLE_FACTORY.name, theirs(SAMPLE_FACTORY)),
        Contestant("MetaBonk, its network", ours(SAMPLE_FACTORYS), SAMPLE_FACTORY.name),
        Contestant("MetaBonk as it comes", ours(AS_IT_COMES)),
        Contestant("MetaBonk, one live", ours(AS_IT_COMES, live=True), "MetaBonk as it comes"),
    ]


def measure_fleet(game: str, learning: Mapping[str, str], seconds: float, *, live: bool) -> Speed:
    """Decisions that a fleet of one worker plays, and its learner keeps up with."""
    environment = environment_of(learning, live=live)
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), "--workers", "1", "--game", game, environment=environment) as fleet,
    ):
        if live:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), START_S)
        until("some updates", lambda: _learner(fleet).updates >= 3, START_S)
        if unknown := [line for line in fleet.output.read_text().splitlines() if "note:" in line]:
            raise SystemExit(f"the fleet was not set up as it should be: {unknown[0]}")
        before, began, spent = steps_of(fleet), time.monotonic(), _cpu(fleet.process.pid)
        learned = _learner(fleet).steps_trained
        time.sleep(seconds)
        played, elapsed = steps_of(fleet) - before, time.monotonic() - began
        spent = _cpu(fleet.process.pid) - spent
        learned = _learner(fleet).steps_trained - learned
        fleet.stop()
    # Who plays without learning from it has not been faster.
    decisions = min(played, learned + int(learning.get("batch_size", Learning().batch_size)))
    return Speed(decisions / elapsed, 1e3 * spent / decisions)


def environment_of(learning: Mapping[str, str], *, live: bool) -> dict[str, str]:
    """A fleet's variables: the same game for everybody, one stream or none."""
    return {
        "METABONK_STREAM_ENABLED": str(live).lower(),
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_LEARNING_FRAME_SKIP": str(SKIP),
        **{f"METABONK_LEARNING_{name.upper()}": value for name, value in learning.items()},
    }


def steps_of(fleet: FleetUnderTest) -> int:
    """Decisions of all its workers."""
    return sum(status.step for status in fleet.statuses().values())


def _learner(fleet: FleetUnderTest) -> LearnerStatus:
    answer = httpx.get(f"{fleet.learner}/status").raise_for_status()
    return LearnerStatus.model_validate(answer.json())


class Report(NamedTuple):
    """What a rival said after an update.

    Attributes:
        at: monotonic seconds.
        steps: decisions so far.
        cpu: seconds of CPU so far, of all its processes.
        mean_return: of the last 100 episodes, where it tells.
    """

    at: float
    steps: int
    cpu: float
    mean_return: float | None


@contextmanager
def running(rival: Rival, scenario: str, cache: Path) -> Iterator[list[Report]]:
    """Runs a rival for as long as the block lasts; the list grows by a report an update."""
    process = subprocess.Popen(
        [
            *("nice", "-n", str(BACKGROUND_NICE)),
            *(str(python_of(rival, cache)), str(RIVALS / rival.script)),
            *("--scenario", scenario, "--skip", str(SKIP)),
        ],
        # A path of this checkout would hide the rival's own packages.
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
                case ["steps", steps, *told]:
                    mean_return = float(told[1]) if told else None
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
    """Decisions between the first and the last update that fall into the time."""
    with running(rival, scenario, cache) as reports:
        until(f"some updates of {rival.name}", lambda: len(reports) > 3, START_S)
        time.sleep(seconds)
        until("two updates in the time", lambda: len(reports) > 4, START_S)
        first, last = reports[3], reports[-1]
    steps = last.steps - first.steps
    return Speed(steps / (last.at - first.at), 1e3 * (last.cpu - first.cpu) / steps)


def _cpu(pid: int) -> float:
    """CPU seconds of a process and of all below it."""
    root = psutil.Process(pid)
    spent = [member.cpu_times() for member in [root, *root.children(recursive=True)]]
    return sum(times.user + times.system for times in spent)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="basic")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="NAME", help="begins a name")
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
            said = f"{speed.per_second:.0f} decisions/s, {speed.cpu_ms:.2f} CPU ms each"
            console.print(f"round {number}: {contestant.name} {said}")
    console.print(_table(chosen, speeds))
    parts = measure_parts(settings_of(f"doom:{arguments.scenario}", 8, {}), arguments.seconds)
    console.print(table_of(parts))
    if arguments.json:
        result = {
            "machine": f"{platform.platform()}, {available_cores()} cores",
            "scenario": arguments.scenario,
            "speeds": {name: [each._asdict() for each in own] for name, own in speeds.items()},
            "where_time_goes": parts,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _table(chosen: list[Contestant], speeds: Mapping[str, list[Speed]]) -> Table:
    """Medians, and for each pair the median of the rounds' ratios."""
    columns = ("who", "decisions/s", "rounds", "CPU ms each", "ratio")
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
