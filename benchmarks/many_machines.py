"""A fleet on four network namespaces: sessions, viewers, cuts of the network, and kills.

``sudo python -m benchmarks.many_machines [--workers N] [--seconds S]``: a head and four nodes, each
in a network namespace of its own behind a bridge, with simulated NVIDIA drivers of 2, 2, 0 and 3
sessions. Workers play nothing (``tests.support.gameless_worker``); all else is real. Prints what it
finds, and fails where a promise of docs/many-machines.md is broken.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
from tests.support import http
from tests.support.fleet import FleetUnderTest, fleet_ports, run_gameless_fleet
from tests.support.nodes import NodeUnderTest, run_node
from tests.support.nvsim.driver import UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until
from websockets.sync.client import connect

from metabonk.messages import Fleet, StreamState

SESSIONS = {"north": 2, "east": 2, "south": 0, "west": 3}
HEAD = "10.77.77.1"
TOKEN = "a-token-of-this-benchmark"
SMALL = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "10",
    "METABONK_STREAM_ENGINE": "av",
    "METABONK_FEATURED_ROTATE_S": "5",
    "METABONK_ACCESS_TOKEN": TOKEN,
}
VIEWERS = 20
PREFIX = "metabonk-machines-"
"""Of the folder that all processes have in their command lines."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Make namespaces ``mb-<node>`` at 10.77.77.11 and so on, behind a bridge of the head."""
    ip("link", "add", "mb-bridge", "type", "bridge")
    ip("addr", "add", f"{HEAD}/24", "dev", "mb-bridge")
    ip("link", "set", "mb-bridge", "up")
    try:
        for number, name in enumerate(SESSIONS):
            space = f"mb-{name}"
            ip("netns", "add", space)
            ip("link", "add", space, "type", "veth", "peer", "name", "node", "netns", space)
            ip("link", "set", space, "master", "mb-bridge", "up")
            ip("-n", space, "addr", "add", f"10.77.77.{11 + number}/24", "dev", "node")
            ip("-n", space, "link", "set", "node", "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield
    finally:
        for name in SESSIONS:
            subprocess.run(["ip", "netns", "del", f"mb-{name}"], check=False)
        ip("link", "del", "mb-bridge")


@contextlib.contextmanager
def cut_off(node: str) -> Iterator[None]:
    ip("link", "set", f"mb-{node}", "down")
    try:
        yield
    finally:
        ip("link", "set", f"mb-{node}", "up")


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


def streams_to(node: NodeUnderTest) -> int:
    process = psutil.Process(node.process.pid)
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == node.port
        for each in process.net_connections("tcp")
    )


def sessions(head: FleetUnderTest, drivers: Mapping[str, SimulatedDriver], seconds: float) -> None:
    live: Counter[int] = Counter()
    first = {name: each.step for name, each in head.statuses().items()}
    shown: set[str] = set()

    def look() -> None:
        shown.update(each.instance_id for each in head.in_state(StreamState.LIVE))
        # Not what workers have reported, each at a moment of its own, but what drivers have open.
        live[sum(driver.open_now() for driver in drivers.values())] += 1

    watch(seconds, look)
    for name, driver in drivers.items():
        most = driver.most_open()
        assert most <= SESSIONS[name], f"{most} sessions were open at once on {name}"
    steps = {name: each.step - first[name] for name, each in head.statuses().items()}
    assert min(steps.values()) > 0, steps
    counts = ", ".join(f"{count} in {looks} looks" for count, looks in sorted(live.items()))
    print(f"  {seconds:.0f} s of rotations: sessions open: {counts}; {len(shown)} workers shown,")
    print(f"  steps of a worker {min(steps.values())} to {max(steps.values())};", end=" ")
    print(f"sessions refused {sum(len(driver.events('refused')) for driver in drivers.values())}")


def viewers(head: FleetUnderTest, page: str, nodes: Mapping[str, NodeUnderTest]) -> None:
    shown = head.first_in(StreamState.LIVE)
    node = nodes[str(shown.node)]
    before = streams_to(node)
    address = f"{page.replace('http', 'ws')}/api/worker/{shown.instance_id}/stream?token={TOKEN}"
    with contextlib.ExitStack() as stack:
        for _ in range(VIEWERS):
            stack.enter_context(connect(address, max_size=None, ping_interval=None, proxy=None))
        name = shown.instance_id
        until("all count", lambda: head.statuses()[name].stream_dedicated_clients == VIEWERS, 60)
        added = streams_to(node) - before
    assert added <= 1, f"{added} connections"
    print(f"  {VIEWERS} viewers of {name} on {shown.node}: {added} connection between the machines")


def short_cut(head: FleetUnderTest, node: str) -> None:
    before, steps = pids(head), {name: each.step for name, each in head.statuses().items()}
    with cut_off(node):
        watch(8, none_twice)
    until("it is present", lambda: all(each.state == "present" for each in fleet_of(head).nodes))
    time.sleep(5)
    assert pids(head) == before, "a worker was restarted"
    assert all(each.step > steps[name] for name, each in head.statuses().items())
    print(f"  {node} cut off for 8 s: no worker restarted or moved")


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
        watch(45, look)
        assert moved.keys() == its, f"{its - moved.keys()} did not move"
    returned = time.monotonic()
    until("all are home", lambda: none_twice() or places(head) == before, 90)
    print(
        f"  {node} cut off for 45 s: its workers elsewhere after {min(moved.values()):.0f} to",
        end="",
    )
    print(
        f" {max(moved.values()):.0f} s, home {time.monotonic() - returned:.0f} s after its return;"
    )
    print("  none played twice")


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


def run(workers: int, seconds: float, folder: Path) -> None:
    drivers = {
        name: SimulatedDriver(folder / f"driver-{name}", cap=max(1, count))
        for name, count in SESSIONS.items()
    }
    drivers["south"].set(open_code=UNSUPPORTED_DEVICE)
    ports = fleet_ports()
    arguments = ("--host", HEAD, "--nodes", "4", "--workers", str(workers), "--game", "doom:basic")
    (folder / "head").mkdir()
    with contextlib.ExitStack() as stack:

        def start_head() -> FleetUnderTest:
            fleet = stack.enter_context(
                run_gameless_fleet(
                    folder / "head", *arguments, environment=SMALL, ports=ports, learner=True
                )
            )
            until("the head answers", lambda: fleet_of(fleet), 60)
            return fleet

        head = start_head()
        page = f"http://{HEAD}:{ports[1]}"

        def start_node(name: str) -> NodeUnderTest:
            limit = {"METABONK_NVENC_MAX_SESSIONS": str(SESSIONS[name])} if SESSIONS[name] else {}
            return stack.enter_context(
                run_node(
                    folder / name,
                    head,
                    name,
                    environment={**drivers[name].environment, **limit},
                    url=page,
                    inside=("ip", "netns", "exec", f"mb-{name}"),
                )
            )

        nodes = {name: start_node(name) for name in SESSIONS}
        began = time.monotonic()
        until("all workers report", lambda: len(places(head)) == workers, 180)
        print(f"  {workers} workers on 4 nodes after {time.monotonic() - began:.0f} s:", end=" ")
        print(dict(Counter(places(head).values())))
        total = sum(SESSIONS.values())
        until("all sessions are used", lambda: len(head.in_state(StreamState.LIVE)) == total, 180)
        sessions(head, drivers, seconds)
        viewers(head, page, nodes)
        short_cut(head, "north")
        long_cut(head, "east")
        kill_node(head, nodes["west"], lambda: nodes.update(west=start_node("west")))
        head = kill_head(head, start_head)
        head.process.send_signal(signal.SIGINT)
        head.process.wait(60)
        for name, node in nodes.items():
            assert node.process.wait(60) == 0, f"{name} ended with {node.process.returncode}"
        assert not workers_by_index(), workers_by_index()
        assert all(driver.open_now() == 0 for driver in drivers.values())
        print("  head stopped: every agent ended with it, no process and no session is left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600, help="of rotations")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("network namespaces need root")
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, network():
        run(arguments.workers, arguments.seconds, Path(folder))


if __name__ == "__main__":
    main()
