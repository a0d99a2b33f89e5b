"""A fleet on four network namespaces: sessions, viewers, cuts of the network, and kills.

``sudo python -m benchmarks.many_machines [--workers N] [--seconds S] [--delay-ms D] [--loss L]
[--only rotations cuts kills]``: a head and four nodes, each in a network namespace of its own
with a slow and lossy line to the others (``benchmarks.namespaces``), with simulated NVIDIA drivers
of 2, 2, 0 and 3 sessions. Workers play nothing (``tests.support.gameless_worker``), and the learner
records what it is sent; all else is real. Prints what it finds, and fails where a promise of
docs/many-machines.md is broken.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
from tests.support import http
from tests.support.fleet import FleetUnderTest, fleet_ports, run_gameless_fleet
from tests.support.gameless_worker import ROLLOUTS_VARIABLE
from tests.support.nodes import NodeUnderTest, run_node
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.rollout_record import Record
from tests.support.waiting import until
from websockets.sync.client import connect

from benchmarks.namespaces import HEAD, cut_off, inside, namespaces
from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import StreamState

SESSIONS = {"north": 2, "east": 2, "south": 0, "west": 3}
TOKEN = "a-token-of-this-benchmark"
SMALL = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "10",
    "METABONK_STREAM_ENGINE": "av",
    "METABONK_FEATURED_ROTATE_S": "5",
    "METABONK_ACCESS_TOKEN": TOKEN,
    ROLLOUTS_VARIABLE: "1",
    "GAMELESS_STEP_S": "0.5",
    # All share a few cores: where all start at once, agents and head have none left for reports.
    "METABONK_WORKER_SPAWN_STAGGER_S": "1",
}
PARTS = ("rotations", "cuts", "kills")
VIEWERS = 20
START_S = 240.0
SHORT_CUT_S, LONG_CUT_S = 8.0, 40.0
IDLE_S = 6.0
"""Longer than the head keeps a connection that it doesn't use."""

ESTABLISHED = "01"
"""In /proc/net/tcp (proc(5))."""

PREFIX = "metabonk-machines-"
"""Of the folder that all processes have in their command lines."""


def fleet_of(head: FleetUnderTest) -> Fleet:
    return Fleet.model_validate(
        http.get(f"{head.orchestrator}/api/fleet").raise_for_status().json()
    )


def places(head: FleetUnderTest) -> dict[str, str]:
    """Return the node of every worker that reports."""
    return {name: str(each.node) for name, each in fleet_of(head).workers.items()}


def pids(head: FleetUnderTest) -> dict[str, int]:
    return {name: each.pid for name, each in fleet_of(head).workers.items()}


def workers_by_index() -> Counter[str]:
    """Return how many processes each worker has on all nodes together."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            # Other fleets of this machine are none of ours.
            if "--index" in words and any(PREFIX in word for word in words):
                found[words[words.index("--index") + 1]] += 1
    return found


def watch(seconds: float, look: Callable[[], None]) -> None:
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        look()
        time.sleep(0.25)


def none_twice() -> None:
    twice = [index for index, count in workers_by_index().items() if count > 1]
    assert not twice, f"workers {twice} play twice"


def connections(node: str, port: int) -> int:
    """Return the connections between a node's port and the head, once idle ones have ended."""
    time.sleep(IDLE_S)
    return sum(
        each.split()[1].endswith(f":{port:04X}") and each.split()[3] == ESTABLISHED
        for each in subprocess.run(
            [*inside(node), "cat", "/proc/net/tcp"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1:]
    )


def sessions(head: FleetUnderTest, drivers: Mapping[str, SimulatedDriver], seconds: float) -> None:
    live: Counter[int] = Counter()
    first = {name: each.step for name, each in head.statuses().items()}
    shown: set[str] = set()

    def look() -> None:
        shown.update(each.instance_id for each in head.in_state(StreamState.LIVE))
        # Not what workers have reported, each at a moment of its own, but what drivers have open.
        live[open_sessions(drivers)] += 1

    watch(seconds, look)
    for name, driver in drivers.items():
        most = driver.most_open() if SESSIONS[name] else len(driver.events("opened"))
        assert most <= SESSIONS[name], f"{most} sessions were open at once on {name}"
    assert max(live) <= sum(SESSIONS.values()), live
    steps = {name: each.step - first[name] for name, each in head.statuses().items()}
    assert min(steps.values()) > 0, steps
    counts = ", ".join(f"{count} in {looks} looks" for count, looks in sorted(live.items()))
    print(f"  {seconds:.0f} s of rotations: sessions open: {counts}; {len(shown)} workers shown,")
    print(f"  steps of a worker {min(steps.values())} to {max(steps.values())};", end=" ")
    print(f"sessions refused {sum(len(driver.events('refused')) for driver in drivers.values())}")


def open_sessions(drivers: Mapping[str, SimulatedDriver]) -> int:
    """Return the sessions that are open on all nodes together; another program has south's."""
    return sum(driver.open_now() for name, driver in drivers.items() if SESSIONS[name])


def viewers(head: FleetUnderTest, page: str, nodes: Mapping[str, NodeUnderTest]) -> None:
    shown = head.first_in(StreamState.LIVE)
    node, name = str(shown.node), shown.instance_id
    before = connections(node, nodes[node].port)
    address = f"{page.replace('http', 'ws')}/api/worker/{name}/stream?token={TOKEN}"
    with contextlib.ExitStack() as stack:
        for _ in range(VIEWERS):
            # Without a limit, or its goodbye waits behind frames that nobody has taken.
            stack.enter_context(connect(address, max_size=None, max_queue=None, proxy=None))
        until("all count", lambda: head.statuses()[name].stream_dedicated_clients == VIEWERS, 60)
        during = connections(node, nodes[node].port)
    assert (before, during) == (0, 1), f"{before} connections, {during} with viewers"
    print(f"  {VIEWERS} viewers of {name} on {node}: {during} connection between the machines")


def short_cut(head: FleetUnderTest, node: str) -> None:
    before, steps = pids(head), {name: each.step for name, each in head.statuses().items()}
    with cut_off(node):
        time.sleep(SHORT_CUT_S)
    until("it is present", lambda: all(each.state == "present" for each in fleet_of(head).nodes))
    time.sleep(5)
    none_twice()
    assert pids(head) == before, "a worker was restarted"
    assert all(each.step > steps[name] for name, each in head.statuses().items())
    print(f"  {node} cut off for {SHORT_CUT_S:.0f} s: no worker restarted or moved")


def long_cut(head: FleetUnderTest, node: str) -> None:
    before = places(head)
    its = {name for name, place in before.items() if place == node}
    began, moved = time.monotonic(), {}

    def look() -> None:
        none_twice()
        for name, place in places(head).items():
            if name in its and place != node:
                moved.setdefault(name, time.monotonic() - began)

    with cut_off(node):
        watch(LONG_CUT_S, look)
        assert moved.keys() == its, f"{its - moved.keys()} did not move"
    returned = time.monotonic()
    until("all are home", lambda: none_twice() or places(head) == before, 90)
    first, last, home = min(moved.values()), max(moved.values()), time.monotonic() - returned
    print(
        f"  {node} cut off for {LONG_CUT_S:.0f} s: its {len(its)} workers elsewhere after", end=" "
    )
    print(f"{first:.0f} to {last:.0f} s, home {home:.0f} s after its return")


def kill_node(head: FleetUnderTest, node: NodeUnderTest, start: Callable[[], object]) -> None:
    before, tree = places(head), node.tree()
    old = pids(head)
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(tree, 10)
    killed = time.monotonic()
    start()
    until("all are back", lambda: places(head) == before and pids(head) != old, 90)
    print(f"  all of a node killed: whole again after {time.monotonic() - killed:.0f} s")


def kill_head(head: FleetUnderTest, restart: Callable[[], FleetUnderTest]) -> FleetUnderTest:
    before = places(head)
    head.process.send_signal(signal.SIGKILL)
    head.process.wait(30)
    killed = time.monotonic()
    head = restart()
    until("all are back", lambda: places(head) == before, 120)
    none_twice()
    print(f"  head killed and started again: whole again after {time.monotonic() - killed:.0f} s")
    return head


def check_rollouts(head: FleetUnderTest) -> None:
    record = Record.read(run_dirs(head))
    mistakes = list(record.mistakes())
    assert not mistakes, mistakes
    print(
        f"  {len(record.rollouts)} rollouts of {record.starts()} processes learned from:", end=" "
    )
    print("each once, and of no worker two processes at a time")


def run_dirs(head: FleetUnderTest) -> list[Path]:
    return [each.parent for each in (head.folder / "runs").glob("*/rollouts.jsonl")]


def memory_mb(folder: Path) -> dict[str, float]:
    """Return the memory of the fleet's workers and of all else; what is shared counts once."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(str(folder) in word for word in words) or folder in Path(process.cwd()).parents:
                kind = "worker" if "--index" in words else "other"
                found[kind] += process.memory_full_info().pss / 1e6
    return dict(found)


def run(
    workers: int, seconds: float, folder: Path, parts: Sequence[str], line: Mapping[str, float]
) -> None:
    drivers = {
        name: SimulatedDriver(folder / f"driver-{name}", cap=max(1, count))
        for name, count in SESSIONS.items()
    }
    ports = fleet_ports()
    arguments = ("--host", HEAD, "--nodes", "4", "--workers", str(workers), "--game", "doom:basic")
    (folder / "head").mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(namespaces(list(SESSIONS), **line))
        # Not without a GPU: it would encode in software.
        stack.enter_context(drivers["south"].external_sessions(1))

        def start_head(*more: str) -> FleetUnderTest:
            fleet = stack.enter_context(
                run_gameless_fleet(
                    folder / "head",
                    *(*arguments, *more),
                    environment=SMALL,
                    ports=ports,
                    learner="record",
                )
            )
            until("the head answers", lambda: fleet_of(fleet), 60)
            return fleet

        head = start_head()
        page = f"http://{HEAD}:{ports[1]}"

        def start_node(name: str) -> NodeUnderTest:
            limit = {"METABONK_NVENC_MAX_SESSIONS": str(max(1, SESSIONS[name]))}
            return stack.enter_context(
                run_node(
                    folder / name,
                    head,
                    name,
                    environment={**drivers[name].environment, **limit},
                    url=page,
                    inside=inside(name),
                )
            )

        nodes = {name: start_node(name) for name in SESSIONS}
        began = time.monotonic()
        until("all workers report", lambda: len(places(head)) == workers, START_S)
        print(f"  {workers} workers on 4 nodes after {time.monotonic() - began:.0f} s:", end=" ")
        print(dict(Counter(places(head).values())), flush=True)
        total = sum(SESSIONS.values())
        until("all sessions are used", lambda: len(head.in_state(StreamState.LIVE)) == total, 180)
        print({kind: round(of) for kind, of in memory_mb(folder).items()}, "MB", flush=True)
        if "rotations" in parts:
            sessions(head, drivers, seconds)
            viewers(head, page, nodes)
        if "cuts" in parts:
            short_cut(head, "north")
            long_cut(head, "east")
        if "kills" in parts:
            kill_node(head, nodes["west"], lambda: nodes.update(west=start_node("west")))
            head = kill_head(head, lambda: start_head("--resume", run_dirs(head)[0].name))
        head.process.send_signal(signal.SIGINT)
        head.process.wait(60)
        for name, node in nodes.items():
            assert node.process.wait(60) == 0, f"{name} ended with {node.process.returncode}"
        assert not workers_by_index(), workers_by_index()
        assert open_sessions(drivers) == 0
        print("  head stopped: every agent ended with it, no process and no session is left")
        check_rollouts(head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600, help="of rotations")
    parser.add_argument("--delay-ms", type=float, default=20, help="of every packet, each way")
    parser.add_argument("--loss", type=float, default=0.01, help="share of packets, each way")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("network namespaces need root")
    line = {"delay_s": arguments.delay_ms / 1000, "loss": arguments.loss}
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        run(arguments.workers, arguments.seconds, Path(folder), arguments.only, line)


if __name__ == "__main__":
    main()
