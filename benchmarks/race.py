"""Time from a cold start to a good policy, compared with other libraries.

``python -m benchmarks.race [--scenario basic] [--goal 75] [--rounds 1] [--only NAME …]`` runs the
contestants of ``throughput`` in turn until the mean of the last 100 unshaped returns reaches the
goal, and prints seconds and steps. Steps per second alone don't compare libraries that learn a
different number of times from each step.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.fleet import run_fleet
from tests.support.waiting import until

from benchmarks.learning import WINDOW, returns_of
from benchmarks.rivals.environments import (
    SAMPLE_FACTORY,
    STABLE_BASELINES3,
    Rival,
    python_of,
)
from benchmarks.throughput import (
    DEFAULTS,
    NATURE,
    NATURE_ONCE,
    SAMPLE_FACTORY_NETWORK,
    START_S,
    doom_arguments,
    environment_of,
    running,
    steps_of,
)
from metabonk.settings.schema import available_cores

TIMEOUT_S = 420.0


class Finish(NamedTuple):
    """Time at which a policy reached the goal.

    Attributes:
        seconds: since the command was issued; None if the goal was not reached in time.
        steps: played by then.
    """

    seconds: float | None
    steps: int


def race_fleet(game: str, learning: dict[str, str], goal: float) -> Finish:
    """Run a fleet of one worker without live streams until the goal or the timeout."""
    environment, began = environment_of(learning, live=False), time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), "--workers", "1", "--game", game, environment=environment) as fleet,
    ):
        until("the page answers", lambda: httpx.get(f"{fleet.page}/").is_success, START_S)
        finish = None
        while finish is None:
            seconds, returns = time.monotonic() - began, returns_of(fleet)
            if len(returns) == WINDOW and statistics.fmean(returns) >= goal:
                finish = Finish(seconds, steps_of(fleet))
            elif seconds > TIMEOUT_S:
                finish = Finish(None, steps_of(fleet))
            else:
                time.sleep(0.2)
        fleet.stop()
        return finish


def race_rival(rival: Rival, scenario: str, goal: float, cache: Path) -> Finish:
    """Run another library until the goal or the timeout."""
    python_of(rival, cache)
    began = time.monotonic()
    with running(rival, cache, *doom_arguments(scenario)) as reports:
        until("an update", lambda: bool(reports), START_S)
        while time.monotonic() - began < TIMEOUT_S:
            last = reports[-1]
            if last.mean_return is not None and last.mean_return >= goal:
                return Finish(last.at - began, last.steps)
            time.sleep(0.2)
        return Finish(None, reports[-1].steps)


def main() -> None:
    """Run all contestants and print their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="basic")
    parser.add_argument("--goal", type=float, default=75.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "metabonk-rivals")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="default: all contestants"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    game, goal = f"doom:{arguments.scenario}", arguments.goal
    contestants: dict[str, Callable[[], Finish]] = {
        **{
            rival.name: partial(race_rival, rival, arguments.scenario, goal, arguments.cache)
            for rival in (STABLE_BASELINES3, SAMPLE_FACTORY)
        },
        **{
            name: partial(race_fleet, game, learning, goal)
            for name, learning in (
                ("MetaBonk, NatureCNN", NATURE),
                ("MetaBonk, NatureCNN, one pass", NATURE_ONCE),
                ("MetaBonk, Sample Factory's network", SAMPLE_FACTORY_NETWORK),
                ("MetaBonk, default settings", DEFAULTS),
            )
        },
    }
    if unknown := set(arguments.only) - set(contestants):
        parser.error(
            f"unknown contestant {unknown.pop()!r}; must be one of {', '.join(contestants)}"
        )
    for name in set(contestants) - set(arguments.only or contestants):
        del contestants[name]
    console = Console(highlight=False)
    finishes: dict[str, list[Finish]] = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, race in contestants.items():
            finishes[name].append(race())
            console.print(f"{name}: {finishes[name][-1]}")
    table = Table("contestant", "seconds to the goal", "steps by then")
    for name, own in finishes.items():
        seconds = ("never" if each.seconds is None else f"{each.seconds:.0f}" for each in own)
        table.add_row(name, ", ".join(seconds), ", ".join(str(each.steps) for each in own))
    console.print(table)
    if arguments.json:
        machine = f"{platform.platform()}, {available_cores()} cores"
        results = {name: [each._asdict() for each in own] for name, own in finishes.items()}
        arguments.json.write_text(json.dumps({"machine": machine, "finishes": results}, indent=2))


if __name__ == "__main__":
    main()
