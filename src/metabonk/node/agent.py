"""The agent of a node: joins the head, and joins it again when it was lost."""

import contextlib
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from metabonk.encoding.capacity import measure_capacity
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.errors import MetaBonkError, StartError
from metabonk.http.server import HttpServer
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Fleet
from metabonk.messages.nodes import JoinReply, JoinRequest, NodeResources
from metabonk.node.head import Head, HeadUnreachable, Membership
from metabonk.node.port import NodePort
from metabonk.node.session import Session
from metabonk.node.settings import node_settings
from metabonk.orchestrator.lock import FleetLock
from metabonk.orchestrator.process import Display
from metabonk.runs.episode_queue import EpisodeQueue
from metabonk.settings import Settings
from metabonk.settings.schema import available_cores
from metabonk.system.ports import free_port, free_ports
from metabonk.system.process import StopSignal
from metabonk.system.process_ids import boot_id

log = logging.getLogger(__name__)

RETRY_S = 0.5
JOIN_WITHIN_S = 60.0
"""A head that was restarted is back by then."""

MAX_EPISODES = 50_000
MAX_LOG_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Address and name of a node.

    Attributes:
        name: of the node.
        host: that its port listens on.
        port: of the node, or the first to try.
        is_port_fixed: no other port will do.
        address: by which the head reaches it; None: that which it joins from.
    """

    name: str
    host: str
    port: int
    is_port_fixed: bool
    address: str | None


def run(
    local: Settings,
    place: NodePlace,
    head_url: str,
    token: str,
    lock: FleetLock,
    display: Display,
    stop: StopSignal,
    *,
    orchestrator: int,
) -> None:
    """Play for a fleet until it or ``stop`` ends.

    Must be called in the main thread, for the sake of the children (see ``supervisor``).

    Args:
        local: settings of the machine.
        place: of the node.
        head_url: address of the head's page.
        token: of the nodes.
        lock: held; records every process that is started.
        display: shows the workers.
        stop: ends the agent.
        orchestrator: port for the workers' heartbeats.

    Raises:
        StartError: the head refuses this node, or can't be reached.
    """
    agent = secrets.token_hex(8)
    port = NodePort(agent, token)
    server, number = serve_port(port, place, orchestrator)
    request = JoinRequest(
        version=version("metabonk"),
        node=place.name,
        agent=agent,
        machine=boot_id(),
        port=number,
        address=place.address,
        resources=measure_resources(local),
    )
    episodes, run_name = EpisodeQueue(MAX_EPISODES, MAX_LOG_BYTES), ""
    with contextlib.ExitStack() as cleanups:
        head = Head(head_url, token)
        cleanups.callback(head.close)
        cleanups.callback(server.stop)
        reason = ""
        while (joined := _join(head, request, stop, display, reason)) is not None:
            if joined.run != run_name:
                episodes, run_name = EpisodeQueue(MAX_EPISODES, MAX_LOG_BYTES), joined.run
            membership = Membership(place.name, joined.head, joined.epoch)
            log.info("joined run %s at %s as epoch %d", joined.run, head.url, joined.epoch)
            lost, failure = None, ""
            try:
                ports = _free_ports(local, joined.settings, {orchestrator, number})
                ports["orchestrator"] = orchestrator
                session = Session(
                    node_settings(local, joined.settings, place.name, ports),
                    joined.run,
                    head,
                    membership,
                    episodes=episodes,
                    lock=lock,
                    port=port,
                )
                lost = session.run(stop, display)
            except MetaBonkError as error:
                failure = str(error)
                raise
            finally:
                port.show(None, local.paths.logs)
                if lost is None:
                    head.leave(membership, failure)
            if lost is None:
                return
            reason = f"{lost}; the workers of this node have ended"


def serve_port(port: NodePort, place: NodePlace, taken: int) -> tuple[HttpServer, int]:
    """Serve a node's port, which is not ``taken``; return the server, and the number it got.

    Raises:
        StartError: it can't be had.
    """
    tried = {taken}
    while True:
        try:
            number = place.port
            if not place.is_port_fixed:
                number = free_port(place.host, place.port, tried.__contains__)
        except OSError as error:
            raise StartError(
                f"this node can't listen on {place.host}: {error.strerror}; name an address of "
                "this machine with --host"
            ) from None
        server = HttpServer(port.app, place.host, number)
        try:
            server.start()
        except StartError:
            if place.is_port_fixed:
                raise
            # Another agent of this machine was faster.
            tried.add(number)
        else:
            return server, number


def measure_resources(settings: Settings) -> NodeResources:
    """Return what this machine has to play with.

    Raises:
        StartError: its encoder sessions can't be counted.
    """
    pools = open_pools(settings)
    fallback = settings.stream.allow_cpu_fallback
    capacity = measure_capacity(pools, ProbeCache(pools.folder), allow_cpu_fallback=fallback)
    return NodeResources(
        cores=available_cores(),
        gpus=[gpu.name for gpu in pools.inventory.gpus],
        sessions=capacity.total,
    )


def _join(
    head: Head, request: JoinRequest, stop: StopSignal, display: Display, reason: str
) -> JoinReply | None:
    """Join the head as soon as it can be; return None if the agent is to stop.

    Args:
        head: to join.
        request: of this node.
        stop: ends the attempts.
        display: shows why the node is not joined.
        reason: for which it is not joined any more; empty at first.

    Raises:
        StartError: it refuses, or couldn't be joined for ``JOIN_WITHIN_S``.
    """
    until = time.monotonic() + JOIN_WITHIN_S
    while not stop.is_set():
        if reason:
            display.show(_not_joined(head.url, reason), {})
        try:
            return head.join(request)
        except HeadUnreachable as error:
            reason = str(error)
            log.info("the head at %s can't be joined yet: %s", head.url, reason)
        if time.monotonic() >= until:
            raise StartError(
                f"the head at {head.url} could not be joined for {JOIN_WITHIN_S:.0f} s: {reason}"
            )
        stop.wait(RETRY_S)
    stop.raise_failure()
    return None


def _not_joined(head: str, reason: str) -> Fleet:
    """Return what the terminal shows while this node belongs to no fleet."""
    problem = Problem(
        message=f"this node has not joined {head}: {reason}", action="it is tried again"
    )
    return Fleet(run="none yet", game=head, mode=None, workers={}, learner=None, problems=[problem])


def _free_ports(local: Settings, fleet: Mapping[str, Any], taken: set[int]) -> dict[str, int]:
    """Return a port for rollouts and weights on loopback, and the first of the workers'.

    An agent that plays for another fleet may have the usual ones.

    Args:
        local: settings of the machine.
        fleet: of the head.
        taken: ports of this agent.

    Raises:
        StartError: none are free.
    """
    host, workers = local.internal_host, fleet.get("workers", 1)
    try:
        learner = free_port(host, local.ports.learner, taken.__contains__)
        others = {*taken, learner}
        first = free_ports(host, local.ports.worker, workers, others.__contains__)
    except OSError as error:
        raise StartError(f"this node's workers can't be served: {error.strerror}") from None
    return {"learner": learner, "worker": first}
