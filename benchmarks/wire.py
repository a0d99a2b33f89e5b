"""What the wire costs: two nodes against one machine, with the same cores and the same learner.

``sudo python -m benchmarks.wire [--game doom:basic] [--workers 2] [--seconds 40] [--rounds 3]``
trains in alternating rounds on one machine, and with a head and two nodes, each in a network
namespace of its own with half of the cores; the head has all of them, as the learner has on one
machine. Nobody is live. Prints steps played and learned from, CPU, and bytes between the machines.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from tests.support.fleet import FleetUnderTest, fleet_ports, run_fleet
from tests.support.nodes import run_node
from tests.support.waiting import until

from benchmarks.namespaces import HEAD, bytes_carried, inside, namespaces
from metabonk.messages.fleet import Fleet
from metabonk.messages.learner import LearnerStatus

START_S = 180.0
WARM_UP_S = 5.0
NODES = ("one", "two")
ENVIRONMENT = {"METABONK_STREAM_ENABLED": "false"}


class Speed(NamedTuple):
    """Speed of a training.

    Attributes:
        played: steps a second.
        trained: steps learned from, a second.
        cpu_ms: milliseconds of CPU a step, all processes together.
        bytes: that crossed the wire, for each step learned from.
        lag: mean age of what is learned from, versions.
    """

    played: float
    trained: float
    cpu_ms: float
    bytes: float
    lag: float


@contextlib.contextmanager
def one_machine(game: str, workers: int) -> Iterator[FleetUnderTest]:
    arguments = ("--workers", str(workers), "--game", game)
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), *arguments, environment=ENVIRONMENT) as fleet,
    ):
        yield fleet


@contextlib.contextmanager
def two_nodes(game: str, workers: int) -> Iterator[FleetUnderTest]:
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    arguments = ("--workers", str(workers), "--game", game, "--nodes", "2", "--host", HEAD)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = fleet_ports()
        (folder / "head").mkdir()
        head = stack.enter_context(
            run_fleet(folder / "head", *arguments, environment=ENVIRONMENT, ports=ports)
        )
        until("the head answers", lambda: fleet_of(head), 60)
        for name, its in zip(NODES, (cores[:half], cores[half:]), strict=True):
            bound = ("taskset", "--cpu-list", ",".join(map(str, its)))
            stack.enter_context(
                run_node(
                    folder / name,
                    head,
                    name,
                    url=f"http://{HEAD}:{ports[1]}",
                    inside=(*inside(name), *bound),
                    gameless=False,
                )
            )
        yield head


def measure(fleet: FleetUnderTest, workers: int, seconds: float) -> Speed:
    """Measure a fleet once it learns."""

    def all_play() -> bool:
        statuses = fleet.statuses().values()
        return len(statuses) == workers and all(status.step for status in statuses)

    until("all workers play", all_play, START_S)
    until("it learns", lambda: learner_of(fleet).updates > 2, START_S)
    time.sleep(WARM_UP_S)
    before, learned, spent, carried = steps_of(fleet), learner_of(fleet), cpu_s(), wire()
    began, lags = time.monotonic(), []
    while (elapsed := time.monotonic() - began) < seconds:
        time.sleep(min(1.0, seconds - elapsed))
        lags.append(learner_of(fleet).policy_lag)
    after, learner = steps_of(fleet), learner_of(fleet)
    elapsed = time.monotonic() - began
    trained = learner.steps_trained - learned.steps_trained
    return Speed(
        played=(after - before) / elapsed,
        trained=trained / elapsed,
        cpu_ms=1e3 * (cpu_s() - spent) / trained,
        bytes=(wire() - carried) / trained,
        lag=statistics.fmean(lags),
    )


def fleet_of(fleet: FleetUnderTest) -> Fleet:
    answer = httpx.get(f"{fleet.orchestrator}/api/fleet").raise_for_status()
    return Fleet.model_validate(answer.json())


def learner_of(fleet: FleetUnderTest) -> LearnerStatus:
    return until("the learner answers", lambda: fleet_of(fleet).learner, START_S)


def steps_of(fleet: FleetUnderTest) -> int:
    return sum(status.step for status in fleet.statuses().values())


def cpu_s() -> float:
    """Return the CPU seconds of all that this process has started, and that lives."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def wire() -> int:
    return sum(bytes_carried(NODES).values())


def table(speeds: dict[str, list[Speed]]) -> Iterator[str]:
    for name, of in speeds.items():
        rounds = ", ".join(f"{each.trained:.0f}" for each in of)
        yield (
            f"  {name}: {median(of, 'played'):.0f} steps/s played, "
            f"{median(of, 'trained'):.0f} learned from ({rounds}); "
            f"{median(of, 'cpu_ms'):.2f} ms of CPU and {median(of, 'bytes') / 1e3:.1f} kB on the "
            f"wire a step; lag {median(of, 'lag'):.1f} versions"
        )


def median(of: Sequence[Speed], name: str) -> float:
    return statistics.median(getattr(each, name) for each in of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("network namespaces need root")
    speeds: dict[str, list[Speed]] = {}
    with namespaces(NODES):
        for _ in range(arguments.rounds):
            for place in (one_machine, two_nodes):
                with place(arguments.game, arguments.workers) as fleet:
                    speed = measure(fleet, arguments.workers, arguments.seconds)
                speeds.setdefault(place.__name__.replace("_", " "), []).append(speed)
                print(place.__name__, speed, flush=True)
    for line in table(speeds):
        print(line)


if __name__ == "__main__":
    main()
