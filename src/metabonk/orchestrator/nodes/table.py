"""The nodes of a fleet, their epochs, and who may run which worker. Pure: time is passed in.

A worker is held by one node at a time. A node keeps those that it holds until it reports that their
processes have ended, or until it has been silent for so long that its agent has ended them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from metabonk.messages.nodes import JoinRequest, NodeResources
from metabonk.orchestrator.nodes.placement import place, weight

SILENT_AFTER_S = 3.0
"""Six reports: another agent may have the name of one that is silent for longer."""

LOST_AFTER_S = 10.0
"""Its agent has ended its workers by then, or does so now (``node.uplink``)."""

VOID_AFTER_S = 30.0
"""Its workers are given to others."""

FORGOTTEN_AFTER_S = 600.0
"""It is not listed any more; machines of a cluster come and go."""

State = Literal["present", "silent", "lost"]


class NodeRefused(Exception):
    """A join that can't be accepted now; says why."""


class StaleEpoch(Exception):
    """A message of an agent that was taken for dead, or of another start of the head."""


@dataclass(slots=True)
class Node:
    """A node as the head knows it.

    Attributes:
        name: of the node.
        agent: random, of its agent's process.
        machine: that it runs on, in this boot.
        url: of its port.
        resources: what it has.
        epoch: of its last join.
        heard_at: monotonic seconds.
        is_void: its epoch has ended.
    """

    name: str
    agent: str
    machine: str
    url: str
    resources: NodeResources
    epoch: int
    heard_at: float
    is_void: bool = False

    def silence_s(self, now: float) -> float:
        """Return the seconds since it was heard."""
        return now - self.heard_at

    def state(self, now: float) -> State:
        """Return its state."""
        if self.is_void or self.silence_s(now) >= LOST_AFTER_S:
            return "lost"
        return "silent" if self.silence_s(now) >= SILENT_AFTER_S else "present"


@dataclass(slots=True)
class NodeTable:
    """Nodes and workers of one start of a head.

    Attributes:
        workers: number of workers.
        expected: nodes to wait for before any worker is given away.
        nodes: by name.
        homes: node that each worker was first given to.
        holders: node that may run each worker.
        has_begun: as many as expected have joined.
    """

    workers: int
    expected: int
    nodes: dict[str, Node] = field(default_factory=dict)
    homes: dict[int, str] = field(default_factory=dict)
    holders: dict[int, str] = field(default_factory=dict)
    has_begun: bool = False
    _wanted: dict[int, str] = field(default_factory=dict)
    _epochs: int = 0

    def join(self, request: JoinRequest, url: str, now: float) -> int:
        """Add a node, or a new agent of one; return its epoch.

        Args:
            request: of its agent.
            url: of its port.
            now: monotonic seconds.

        Raises:
            NodeRefused: another agent has this name.
        """
        known = self.nodes.get(request.node)
        if known is not None and known.agent != request.agent:
            same_machine = known.machine == request.machine
            wait_s = SILENT_AFTER_S if same_machine else LOST_AFTER_S
            if known.silence_s(now) < wait_s:
                raise NodeRefused(
                    f"a node {request.node} is there already, at {known.url}; "
                    "give this one another name with --name"
                )
            if not same_machine:
                self._void(known)
        self._epochs += 1
        self.nodes[request.node] = Node(
            name=request.node,
            agent=request.agent,
            machine=request.machine,
            url=url,
            resources=request.resources,
            epoch=self._epochs,
            heard_at=now,
        )
        self._plan()
        return self._epochs

    def require(self, name: str, epoch: int) -> Node:
        """Return the node of a message.

        Raises:
            StaleEpoch: the message is of another epoch.
        """
        node = self.nodes.get(name)
        if node is None or node.is_void or node.epoch != epoch:
            raise StaleEpoch
        return node

    def hear(self, node: Node, running: Collection[int], now: float) -> None:
        """Take note that a node lives, and which of its workers have a process or soon will."""
        node.heard_at = now
        for index in [index for index, holder in self.holders.items() if holder == node.name]:
            if self._wanted.get(index) != node.name and index not in running:
                del self.holders[index]
        self._grant()

    def orders(self, node: Node) -> list[int]:
        """Return the workers that a node is to run."""
        return sorted(
            index
            for index, holder in self.holders.items()
            if holder == node.name and self._wanted.get(index) == holder
        )

    def leave(self, name: str) -> None:
        """Let a node go whose agent says goodbye: its workers have ended."""
        self._void(self.nodes.pop(name))
        self._plan()

    def expire(self, now: float) -> Iterator[Node]:
        """Yield the nodes whose epoch ends now; their workers are given to others."""
        for node in list(self.nodes.values()):
            if not node.is_void and node.silence_s(now) >= VOID_AFTER_S:
                self._void(node)
                yield node
            if node.silence_s(now) >= FORGOTTEN_AFTER_S:
                del self.nodes[node.name]
        self._plan()

    def missing(self) -> int:
        """Return how many nodes must join before any worker is given away."""
        return 0 if self.has_begun else max(0, self.expected - len(self._present()))

    def _present(self) -> Mapping[str, Node]:
        return {name: node for name, node in self.nodes.items() if not node.is_void}

    def _void(self, node: Node) -> None:
        node.is_void = True
        for index in [index for index, holder in self.holders.items() if holder == node.name]:
            del self.holders[index]

    def _plan(self) -> None:
        """Decide where every worker is wanted, and give away those that nobody holds."""
        if self.missing():
            return
        self.has_begun = True
        present = self._present()
        weights = {name: weight(node.resources) for name, node in sorted(present.items())}
        self._wanted = place(self.workers, weights, self.homes, self.holders)
        for index, node in self._wanted.items():
            # A home that is gone is kept: it may return. One that has no room any more is not.
            if self.homes.get(index) in (None, *present):
                self.homes[index] = node
        self._grant()

    def _grant(self) -> None:
        for index, node in self._wanted.items():
            if node in self.nodes and not self.nodes[node].is_void:
                self.holders.setdefault(index, node)
