"""Agents on a real Ray cluster, whose machines are processes of this one."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from metabonk.messages.fleet import Fleet
from tests.support import http
from tests.support.fleet import FleetUnderTest, fleet_ports, run_gameless_fleet
from tests.support.processes import with_word
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)
ray = pytest.importorskip("ray")

from metabonk.node.ray_launcher import named  # noqa: E402

SMALL = {"METABONK_STREAM_WIDTH": "256", "METABONK_STREAM_HEIGHT": "144"}


def machine(host: str) -> dict[str, Any]:
    return {"NodeManagerHostname": host}


def test_a_node_is_called_after_its_host_and_by_rays_id_where_hosts_are_alike():
    machines = {"aaaaaaaaaa": machine("gpu-1"), "bbbbbbbbbb": machine("gpu-2")}
    assert dict(named(machines)) == {"aaaaaaaaaa": "gpu-1", "bbbbbbbbbb": "gpu-2"}
    machines = {"aaaaaaaaaa": machine("same"), "bbbbbbbbbb": machine("same")}
    assert dict(named(machines)) == {"aaaaaaaaaa": "same-aaaaaaaa", "bbbbbbbbbb": "same-bbbbbbbb"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of one machine, whose agents use ports and folders of this test."""
    from ray.cluster_utils import Cluster

    ports = fleet_ports()
    for name, value in {
        "XDG_STATE_HOME": tmp_path / "state",
        "METABONK_PATHS_RUNTIME": tmp_path / "runtime",
        "METABONK_PORTS_ORCHESTRATOR": ports[0],
        "METABONK_PORTS_LEARNER": ports[1],
        "METABONK_NODES_PORT": ports[2],
        "METABONK_PORTS_WORKER": ports[3],
        "METABONK_CPU_MAX_SESSIONS": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield started
    started.shutdown()


def nodes_of(head: FleetUnderTest) -> list[int]:
    """Return how many workers report from each node that is not lost."""
    fleet = Fleet.model_validate(http.get(f"{head.page}/api/fleet").raise_for_status().json())
    places = [status.node for status in fleet.workers.values()]
    return [places.count(node.node) for node in fleet.nodes if node.state != "lost"]


def agents(folder: Path) -> list[psutil.Process]:
    """Return the agents whose working directories are in a folder."""
    found = []
    for process in with_word(psutil.process_iter(), "join"):
        with contextlib.suppress(psutil.Error):
            if process.cwd().startswith(os.fspath(folder)):
                found.append(process)
    return found


def test_each_machine_gets_an_agent_also_one_that_comes_later(
    cluster: Any, tmp_path: Path, long: bool
):
    folder = tmp_path / "head"
    folder.mkdir()
    arguments = ("--workers", "2", "--game", "doom:basic", "--ray", cluster.address)
    with run_gameless_fleet(folder, *arguments, environment=SMALL) as head:
        until("the head's machine plays", lambda: nodes_of(head) == [2], 120)
        if long:
            later = cluster.add_node(num_cpus=1)
            until("both play", lambda: nodes_of(head) == [1, 1], 120)
            cluster.remove_node(later, allow_graceful=False)
            until("one plays for both", lambda: nodes_of(head) == [2], 120)
        head.process.send_signal(signal.SIGINT)
        assert head.process.wait(30) == 0
        until("no agent is left", lambda: not agents(tmp_path), 30)
