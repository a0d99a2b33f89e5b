"""A fleet on many machines: a head and agents, each with folders and sessions of its own."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from metabonk.messages import Fleet, StreamState, WorkerStatus
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.nodes import NodeUnderTest, run_node
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


@pytest.fixture
def head(tmp_path: Path) -> Iterator[FleetUnderTest]:
    """Head of a fleet of five workers on two nodes."""
    folder = tmp_path / "head"
    folder.mkdir()
    arguments = ("--workers", "5", "--nodes", "2", "--game", "doom:basic")
    with run_gameless_fleet(folder, *arguments, environment=SMALL) as fleet:
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

        head.process.send_signal(signal.SIGINT)
        assert head.process.wait(30) == 0
        assert b.process.wait(30) == 0


def test_a_wrong_token_is_refused_in_a_sentence(head: FleetUnderTest, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("another-token-of-32-characters-or-so")
    with run_node(tmp_path / "a", head, "a", token=file) as agent:
        assert agent.process.wait(30) == 1
        assert "refuses this token" in agent.output.read_text()
    assert fleet_of(head).nodes == []
    assert http.post(f"{head.page}/api/nodes/join", json={}).status_code == 401
