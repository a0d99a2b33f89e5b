"""A fleet on many machines: a head and agents, each with folders and sessions of its own."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import StreamState, WorkerStatus
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_fleet, run_gameless_fleet
from tests.support.nodes import NodeUnderTest, run_node
from tests.support.serving import free_ports
from tests.support.trained_runs import write_run
from tests.support.viewer import Spectator
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

SMALL = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "10",
    "METABONK_STREAM_ENGINE": "av",
}
SESSIONS = {"a": 2, "b": 1}
ARGUMENTS = ("--workers", "5", "--game", "doom:basic")
UNWRITTEN_EPISODES = 5
"""One ends every second; a report and a write to disk may be on their way."""

APART = 20
"""Ports between those of one kind and the next: each agent takes one of each."""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[FleetUnderTest]:
    """Head of a fleet of five workers on two nodes."""
    folder = tmp_path / "head"
    folder.mkdir()
    with run_gameless_fleet(folder, *ARGUMENTS, "--nodes", "2", environment=SMALL) as fleet:
        until("the head serves its page", lambda: fleet_of(fleet))
        yield fleet


def fleet_of(head: FleetUnderTest) -> Fleet:
    return Fleet.model_validate(http.get(f"{head.page}/api/fleet").raise_for_status().json())


def running(head: FleetUnderTest) -> dict[str, list[str]]:
    """Return the workers that have reported, by node."""
    found: dict[str, list[str]] = {}
    for status in fleet_of(head).workers.values():
        found.setdefault(str(status.node), []).append(status.instance_id)
    return found


def has_restarted(head: FleetUnderTest, before: WorkerStatus) -> bool:
    now = head.statuses().get(before.instance_id)
    return now is not None and now.pid != before.pid


def connections(node: NodeUnderTest) -> int:
    """Return the open streams between the head and a node."""
    process = psutil.Process(node.process.pid)
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == node.port
        for each in process.net_connections("tcp")
    )


def node(stack: ExitStack, head: FleetUnderTest, name: str) -> NodeUnderTest:
    environment = {"METABONK_CPU_MAX_SESSIONS": str(SESSIONS[name])}
    folder = head.folder.parent / name
    return stack.enter_context(run_node(folder, head, name, environment=environment))


def test_two_nodes_play_for_one_head(head: FleetUnderTest):
    with ExitStack() as stack:
        a, b = node(stack, head, "a"), node(stack, head, "b")
        home = {"a": ["omega-0", "omega-1", "omega-2"], "b": ["omega-3", "omega-4"]}
        until("all workers play", lambda: running(head) == home, 60)
        # Each node's own director has its own sessions.
        until("three are live", lambda: len(head.in_state(StreamState.LIVE)) == 3, 60)
        pools = http.get(f"{head.page}/api/sessions").json()
        assert [(each["node"], each["used"]) for each in pools] == [(None, 0), ("a", 2), ("b", 1)]
        assert http.get(f"{head.page}/api/worker/omega-4/log").json()["lines"]
        assert http.get(f"{head.page}/api/worker/omega-4/snapshot.jpg").content[:2] == b"\xff\xd8"

        shown = next(
            each.instance_id for each in head.in_state(StreamState.LIVE) if each.node == "b"
        )
        idle = connections(b)
        path = f"/api/worker/{shown}/stream"
        with ExitStack() as audience:
            viewers = [audience.enter_context(Spectator(head.page, path=path)) for _ in range(5)]
            until("all viewers see frames", lambda: all(each.arrivals() for each in viewers))
            assert connections(b) <= idle + 1
            until("they are counted", lambda: head.statuses()[shown].stream_dedicated_clients == 5)

        # Programs of the head's machine reach it without a token.
        assert http.head(head.statuses()[shown].stream_url).status_code == 200
        order = http.get(f"{head.orchestrator}/api/program/order").json()
        with connect(order["sources"][0]["address"], proxy=None, max_size=None) as program:
            assert '"type":"policy"' in str(program.recv(10))

        # All of a node's processes die with its agent, and it comes back to the same workers.
        tree = b.tree()
        before = head.statuses()["omega-4"]
        b.process.kill()
        psutil.wait_procs(tree, timeout=10)
        assert [process for process in tree if process.is_running()] == []
        b = node(stack, head, "b")
        until("its worker is back", lambda: has_restarted(head, before), 60)
        until("all are", lambda: running(head) == home, 60)
        assert head.statuses()["omega-4"].step >= before.step
        assert running(head)["a"] == home["a"]

        # An agent that is stopped leaves at once.
        assert f"stopped 'metabonk join' (pid {a.process.pid}, page {head.page})" in a.stop()
        assert a.process.wait(30) == 0
        until("b plays for all", lambda: len(running(head).get("b", [])) == 5, 60)
        assert [each.node for each in fleet_of(head).nodes] == ["b"]

        # The head dies. Its agent ends its workers, waits for it, and plays on for the same run.
        before, resumed = head.statuses(), ("--nodes", "1", "--resume", fleet_of(head).run)
        head.process.kill()
        head.process.wait(30)
        with run_gameless_fleet(
            head.folder, *ARGUMENTS, *resumed, environment=SMALL, ports=head.ports
        ) as head:
            until("b plays for all again", lambda: len(running(head).get("b", [])) == 5, 60)
            # They go on from the last episodes that the head had written.
            for name, now in head.statuses().items():
                assert now.episode >= before[name].episode - UNWRITTEN_EPISODES
            assert len(list((head.folder / "runs").glob("*/metabonk.sqlite"))) == 1

            head.process.send_signal(signal.SIGINT)
            assert head.process.wait(30) == 0
            assert b.process.wait(30) == 0


def test_agents_of_one_machine_with_the_same_ports_play_side_by_side(
    head: FleetUnderTest, tmp_path: Path
):
    ports = free_ports(3 * APART)[::APART]
    shared = {
        "METABONK_PORTS_ORCHESTRATOR": str(ports[0]),
        "METABONK_PORTS_LEARNER": str(ports[1]),
        "METABONK_PORTS_WORKER": str(ports[2]),
        "METABONK_PATHS_RUNTIME": str(tmp_path / "runtime"),
        "METABONK_CPU_MAX_SESSIONS": "1",
    }
    with ExitStack() as stack:
        for name in ("a", "b"):
            stack.enter_context(run_node(tmp_path / name, head, name, environment=shared))
        until("all workers play", lambda: sum(map(len, running(head).values())) == 5, 60)
        assert sorted(map(len, running(head).values())) == [2, 3]
        # And one that plays for another head, whose workers have the same names.
        (other := tmp_path / "other").mkdir()
        arguments = ("--workers", "2", "--nodes", "1", "--game", "doom:basic")
        with run_gameless_fleet(other, *arguments, environment=SMALL) as second:
            until("the other head serves its page", lambda: fleet_of(second))
            stack.enter_context(run_node(tmp_path / "c", second, "c", environment=shared))
            until("its workers play", lambda: len(running(second).get("c", [])) == 2, 60)
        assert sum(map(len, running(head).values())) == 5


def test_a_node_plays_the_checkpoint_of_the_head(tmp_path: Path):
    write_run(tmp_path / "head", "doom:basic")
    arguments = ("--mode", "play", "--workers", "1", "--nodes", "1")
    with run_fleet(tmp_path / "head", *arguments, environment=SMALL) as head:
        until("the head serves its page", lambda: fleet_of(head))
        with run_node(tmp_path / "a", head, "a", gameless=False):
            until("it plays", lambda: any(each.step for each in head.statuses().values()), 120)
            (status,) = head.statuses().values()
            assert (status.node, status.policy_version) == ("a", 12)


def test_what_keeps_a_node_out_is_a_sentence(head: FleetUnderTest, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("another-token-of-32-characters-or-so")
    with run_node(tmp_path / "a", head, "a", token=file) as agent:
        assert agent.process.wait(30) == 1
        assert "refuses this token" in agent.output.read_text()
    assert fleet_of(head).nodes == []
    assert http.post(f"{head.page}/api/nodes/join", json={}).status_code == 401

    # As on a full disk: on the node's terminal, and on the page.
    unwritable = {"METABONK_PATHS_RUNS": str(file)}
    with run_node(tmp_path / "b", head, "b", environment=unwritable) as agent:
        assert agent.process.wait(30) == 1
        assert "can't write" in agent.output.read_text()
    (problem,) = [each for each in fleet_of(head).problems if each.message.startswith("node b")]
    assert problem.message.startswith(f"node b can't join: can't write {file}")
