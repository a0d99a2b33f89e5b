"""Node agents on every machine of a Ray cluster, kept in step with the machines that it has.

Runs in a process of its own, whose end ends all agents: importing Ray takes seconds and starts
threads, and its calls may hang while the cluster's head does.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from metabonk.errors import StartError
from metabonk.node.ray_agent import RayAgent
from metabonk.node.settings import node_name
from metabonk.settings.nodes import TOKEN_VARIABLE
from metabonk.system import peers
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

PERIOD_S = 1.0


def run(address: str, head: str, token: str, listen: str, stop: StopSignal) -> None:
    """Keep an agent on every machine until ``stop`` is set.

    Args:
        address: of the cluster: ``auto``, or ``ray://HOST:PORT``.
        head: address of the fleet's page.
        token: of the nodes.
        listen: name under which a ``PING`` is answered between two looks at the cluster.
        stop: ends the agents.

    Raises:
        StartError: there is no such cluster.
    """
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, namespace="metabonk")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StartError(
            f"can't connect to the Ray cluster at {address}: {error}; start one with 'ray start "
            "--head', and see that RAY_AUTH_TOKEN or ~/.ray/auth_token is that of the cluster"
        ) from None
    agents: dict[str, Any] = {}
    try:
        with peers.listen(listen) as listener:
            listener.settimeout(PERIOD_S)
            while not stop.is_set():
                keep_agents(agents, head, token)
                answer(listener)
    finally:
        ray.shutdown()


def keep_agents(agents: dict[str, Any], head: str, token: str) -> None:
    """Start an agent on each new machine, and forget those of machines that are gone.

    Args:
        agents: by Ray's id of the machine; is changed.
        head: address of the fleet's page.
        token: of the nodes.
    """
    machines = {machine["NodeID"]: machine for machine in ray.nodes() if machine["Alive"]}
    for gone in agents.keys() - machines.keys():
        log.info("machine %s has left the cluster", gone)
        del agents[gone]
    names = dict(named(machines))
    for machine in machines.keys() - agents.keys():
        name = names[machine]
        log.info("starts the agent of node %s, machine %s", name, machine)
        agents[machine] = (
            ray.remote(RayAgent)
            .options(
                num_cpus=0,
                max_restarts=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False),
            )
            .remote(
                (head, "--name", name),
                {TOKEN_VARIABLE: token},
                name,
            )
        )


def named(machines: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the name of each machine's node: its host's, with a part of Ray's id if need be."""
    hosts = Counter(machine["NodeManagerHostname"] for machine in machines.values())
    for number, machine in machines.items():
        host = machine["NodeManagerHostname"]
        yield number, node_name(host if hosts[host] == 1 else f"{host[:50]}-{number[:8]}")


def answer(listener: Any) -> None:
    """Wait a moment for somebody who asks whether this process answers."""
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return
    with connection:
        connection.settimeout(PERIOD_S)
        if connection.recv(len(peers.PING)) == peers.PING:
            connection.send(peers.PING)
