"""Learning speed of a fresh fleet with one live worker.

``python -m benchmarks.learning [--game doom:basic] [--minutes 3] [--episodes 100] [--seed 0]
[--json FILE]`` starts a real fleet and prints every ten seconds the mean of the last unshaped
returns, and finally the rates of playing and learning. ``--set learning.learning_rate=1e-3``
changes a setting.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from rich.console import Console
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

WINDOW = 100


@dataclass(frozen=True)
class Point:
    """State of the fleet at one time.

    Attributes:
        seconds: since the command was issued.
        steps: played by all workers.
        trained: distinct steps learned from.
        lag: mean age of the last batch, in versions.
        mean_return: of the last episodes, unshaped.
        version: newest policy version that acts.
        live: number of live workers.
        dropped: frames lost by all streams.
    """

    seconds: float
    steps: int
    trained: int
    lag: float
    mean_return: float
    version: int
    live: int
    dropped: int


def train(
    game: str, seconds: float, *, workers: int, episodes: int, settings: dict[str, str]
) -> list[Point]:
    """Run a fleet for ``seconds``; return a point every ten seconds, of so many episodes."""
    variables = {f"METABONK_{name.upper().replace('.', '_')}": v for name, v in settings.items()}
    environment = {"METABONK_CPU_MAX_SESSIONS": "1", **variables}
    points: list[Point] = []
    console = Console(highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--workers", str(workers), "--game", game)
        with run_fleet(Path(folder), *arguments, environment=environment) as fleet:
            until("an episode has ended", lambda: returns_of(fleet), 120)
            while (elapsed := time.monotonic() - began) < seconds:
                if elapsed >= 10 * (len(points) + 1):
                    points.append(_point(fleet, elapsed, episodes))
                    console.print(_line(points[-1]))
                time.sleep(0.2)
            fleet.stop()
    return points


def returns_of(fleet: FleetUnderTest, episodes: int = WINDOW) -> list[float]:
    """Return the last unshaped returns, newest first."""
    answer = http.get(f"{fleet.page}/api/episodes?limit={episodes}").raise_for_status().json()
    return [episode["total_reward"] for episode in answer]


def _point(fleet: FleetUnderTest, elapsed: float, episodes: int) -> Point:
    statuses = fleet.statuses().values()
    answer = httpx.get(f"{fleet.page}/api/fleet").raise_for_status()
    learner = Fleet.model_validate(answer.json()).learner
    return Point(
        seconds=round(elapsed, 1),
        steps=sum(status.step for status in statuses),
        trained=learner.steps_trained if learner else 0,
        lag=learner.policy_lag if learner else 0.0,
        mean_return=round(statistics.fmean(returns_of(fleet, episodes)), 2),
        version=max((status.policy_version for status in statuses), default=0),
        live=sum(status.stream_state is StreamState.LIVE for status in statuses),
        dropped=sum(status.frames_dropped for status in statuses),
    )


def _line(point: Point) -> str:
    return (
        f"{point.seconds:6.0f} s  {point.steps:8d} steps  return {point.mean_return:8.2f}  "
        f"version {point.version:4d}  {point.live} live, {point.dropped} frames dropped"
    )


def rates(points: Sequence[Point]) -> str:
    """Format the rates of playing and learning from the first point to the last."""
    first, last = points[0], points[-1]
    seconds = last.seconds - first.seconds
    return (
        f"{(last.steps - first.steps) / seconds:.0f} steps/s played, "
        f"{(last.trained - first.trained) / seconds:.0f} learned from, "
        f"mean lag {statistics.fmean(point.lag for point in points):.1f} versions"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=WINDOW, help="in the mean")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    settings["learning.seed"] = str(arguments.seed)
    points = train(
        arguments.game,
        arguments.minutes * 60,
        workers=arguments.workers,
        episodes=arguments.episodes,
        settings=settings,
    )
    Console(highlight=False).print(rates(points))
    if arguments.json:
        machine = f"{platform.platform()}, {available_cores()} cores"
        result = {"machine": machine, "settings": settings, "curve": [asdict(p) for p in points]}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
