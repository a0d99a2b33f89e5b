"""A fleet on a Ray cluster of four machines: it learns, is watched, and loses a machine.

``python -m benchmarks.ray_cluster [--game doom:basic] [--workers 8] [--seconds 150]``: the machines
are Ray nodes of this one (``ray.cluster_utils.Cluster``), everything else is real: Ray starts the
agents, ViZDoom plays, the learner learns. Prints mean returns as they change, what a viewer of a
worker gets, and what becomes of the workers of a raylet that is killed; an agent with a wrong token
must be refused without having started anything.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.serving import free_ports
from tests.support.viewer import Spectator
from tests.support.waiting import until

from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import StreamState

MACHINES = 4
WINDOW = 100
WATCH_S = 10.0
REPORT_S = 20.0
START_S = 240.0
SMALL = {
    "METABONK_STREAM_WIDTH": "320",
    "METABONK_STREAM_HEIGHT": "180",
    "METABONK_STREAM_FPS": "10",
    "METABONK_LEARNING_OBSERVATION_WIDTH": "64",
    "METABONK_LEARNING_OBSERVATION_HEIGHT": "36",
    "METABONK_LEARNING_BATCH_SIZE": "512",
}
"""Eight workers and a cluster share the cores of one machine."""

APART = 20
"""Ports between those of one kind and the next: each agent takes one of each."""


def fleet_of(head: FleetUnderTest) -> Fleet:
    answer = http.get(f"{head.page}/api/fleet").raise_for_status()
    return Fleet.model_validate(answer.json())


def places(head: FleetUnderTest) -> dict[str, str]:
    """Return the node of every worker that plays."""
    return {name: str(each.node) for name, each in fleet_of(head).workers.items() if each.step}


def mean_return(head: FleetUnderTest, *, oldest: bool = False) -> float:
    """Return the mean of the last returns, or of the first ones."""
    answer = http.get(f"{head.page}/api/episodes?limit=1000").raise_for_status().json()
    returns = [episode["total_reward"] for episode in answer]
    return statistics.fmean(returns[-WINDOW:] if oldest else returns[:WINDOW])


def agents(folder: Path, command: str) -> list[psutil.Process]:
    """Return the processes of a command that belong to agents, by their folders."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if command in words and process.cwd().startswith(str(folder)):
                found.append(process)
    return found


def train(head: FleetUnderTest, seconds: float) -> None:
    until("episodes have ended", lambda: len(episodes(head)) >= WINDOW, START_S)
    first = mean_return(head, oldest=True)
    began = time.monotonic()
    print(f"  the first {WINDOW} episodes returned {first:.0f} on average", flush=True)
    while (elapsed := time.monotonic() - began) < seconds:
        time.sleep(min(REPORT_S, seconds - elapsed))
        learner = fleet_of(head).learner
        version = learner.policy_version if learner else 0
        steps = sum(each.step for each in head.statuses().values())
        print(
            f"  {time.monotonic() - began:4.0f} s later: {steps} steps, version {version}, "
            f"the last {WINDOW} episodes {mean_return(head):.0f}",
            flush=True,
        )
    assert mean_return(head) > first, "it has not improved"


def episodes(head: FleetUnderTest) -> list[Any]:
    answer: list[Any] = http.get(f"{head.page}/api/episodes?limit={WINDOW}").json()
    return answer


def watch(head: FleetUnderTest) -> None:
    shown = head.first_in(StreamState.LIVE).instance_id
    with Spectator(head.page, path=f"/api/worker/{shown}/stream") as viewer:
        until("frames arrive", viewer.arrivals, 30)
        before = len(viewer.arrivals())
        time.sleep(WATCH_S)
        rate = (len(viewer.arrivals()) - before) / WATCH_S
    print(f"  a viewer of {shown}: {rate:.1f} frames a second", flush=True)


def lose_machine(cluster: Cluster, machine: Any, head: FleetUnderTest, folder: Path) -> None:
    before = places(head)
    workers, nodes = len(before), set(before.values())
    cluster.remove_node(machine, allow_graceful=False)
    killed = time.monotonic()
    until("its agent has ended", lambda: len(agents(folder, "join")) == MACHINES - 1, 60)
    ended_s = time.monotonic() - killed

    def moved() -> bool:
        now = places(head)
        return len(now) == workers and len(set(now.values())) == MACHINES - 1

    until("its workers play elsewhere", moved, 90)
    (gone,) = nodes - set(places(head).values())
    lost = sorted(name for name, node in before.items() if node == gone)
    print(
        f"  raylet killed: its agent had ended after {ended_s:.1f} s, its {len(lost)} workers "
        f"played elsewhere after {time.monotonic() - killed:.0f} s",
        flush=True,
    )
    processes = Counter(
        process.cmdline()[process.cmdline().index("--index") + 1]
        for process in agents(folder, "worker")
    )
    assert set(processes.values()) <= {1}, f"a worker plays twice: {processes}"


def wrong_token(head: FleetUnderTest, folder: Path) -> None:
    before = len(agents(folder, "worker"))
    other = folder / "wrong"
    other.mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "metabonk.cli.main", "join", head.page],
        cwd=other,
        env={**os.environ, "METABONK_TOKEN": "another-token-of-32-characters-or-so"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1 and "refuses this token" in answer.stderr, answer
    assert len(agents(folder, "worker")) == before
    print("  a wrong token:", answer.stderr.strip().splitlines()[-1], flush=True)


@contextlib.contextmanager
def cluster_of_machines(folder: Path) -> Iterator[tuple[Cluster, list[Any]]]:
    ports = free_ports(4 * APART)[::APART]
    os.environ |= {
        "XDG_STATE_HOME": str(folder / "state"),
        "METABONK_PATHS_RUNTIME": str(folder / "runtime"),
        "METABONK_PORTS_ORCHESTRATOR": str(ports[0]),
        "METABONK_PORTS_LEARNER": str(ports[1]),
        "METABONK_NODES_PORT": str(ports[2]),
        "METABONK_PORTS_WORKER": str(ports[3]),
        "METABONK_CPU_MAX_SESSIONS": "1",
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        yield cluster, [cluster.add_node(num_cpus=1) for _ in range(MACHINES - 1)]
    finally:
        cluster.shutdown()


def run(game: str, workers: int, seconds: float, folder: Path) -> None:
    with cluster_of_machines(folder) as (cluster, machines):
        (folder / "head").mkdir()
        arguments = ("--workers", str(workers), "--game", game, "--nodes", str(MACHINES))
        arguments += ("--games-per-worker", "1")
        began = time.monotonic()
        with run_fleet(
            folder / "head", *arguments, "--ray", cluster.address, environment=SMALL
        ) as head:
            until("all workers play", lambda: len(places(head)) == workers, START_S)
            print(
                f"  {workers} workers play on {MACHINES} machines after "
                f"{time.monotonic() - began:.0f} s: {dict(Counter(places(head).values()))}",
                flush=True,
            )
            train(head, seconds)
            watch(head)
            wrong_token(head, folder)
            lose_machine(cluster, machines[-1], head, folder)
            head.process.send_signal(signal.SIGINT)
            assert head.process.wait(30) == 0
            until("no agent is left", lambda: not agents(folder, "join"), 30)
            assert not agents(folder, "worker")
            print("  head stopped: no agent and no worker is left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=150, help="of training")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metabonk-ray-") as folder:
        run(arguments.game, arguments.workers, arguments.seconds, Path(folder))


if __name__ == "__main__":
    main()
