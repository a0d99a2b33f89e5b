"""The workers that there are, by name, and where each is reached.

Those of the fleet, on this machine or on nodes, and guests, which come and go.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from metabonk.messages.workers import WorkerKind, WorkerStatus, instance_id
from metabonk.settings import Settings
from metabonk.system.ports import free_port


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """Address of a worker; never taken from a heartbeat.

    Attributes:
        url: that its HTTP routes are under.
        headers: sent with every request.
        node: that it is on; None: this machine.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    node: str | None = None

    @property
    def stream(self) -> str:
        """URL of its WebSocket, ``ws://…``."""
        return f"ws{self.url.removeprefix('http')}/stream"


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as the orchestrator knows it.

    Attributes:
        name: in addresses, logs and on the page.
        index: among all workers.
        seat: on its machine; the director's key.
        port: of its HTTP server on this machine.
        kind: of the worker.
        address: of its HTTP server; None while it waits for a node.
    """

    name: str
    index: int
    seat: int
    port: int
    kind: WorkerKind
    address: WorkerAddress | None

    @property
    def is_here(self) -> bool:
        """True for a worker of this machine."""
        return self.address is not None and self.address.node is None


class Roster:
    """Table of the workers. Thread-safe.

    Args:
        settings: of the fleet, whose workers are there from the beginning, unless this is an agent.
        here: workers on this machine from the beginning; None: all, or none where there are nodes.
    """

    def __init__(self, settings: Settings, here: Iterable[int] | None = None) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._members: dict[str, Member] = {}
        is_head = here is None and settings.nodes.count > 0
        for index in range(settings.workers) if here is None else here:
            self._add(instance_id(index), index, index, is_here=not is_head)

    def find(self, name: str) -> Member | None:
        """Return the worker of this name; None if there is none."""
        return self._members.get(name)

    def matches(self, status: WorkerStatus) -> bool:
        """Tell whether a status is of a worker that there is, wherever it is."""
        member = self.find(status.instance_id)
        known = None if member is None else (member.index, member.kind)
        return known == (status.worker_index, status.kind)

    def name_of(self, seat: int) -> str:
        """Return the name of this machine's worker with this seat."""
        with self._lock:
            members = [each for each in self._members.values() if each.is_here]
            named = (each.name for each in members if each.seat == seat)
            return next(named, instance_id(seat))

    def seats(self) -> dict[str, int]:
        """Return the seat of every worker of this machine, by name."""
        with self._lock:
            return {each.name: each.seat for each in self._members.values() if each.is_here}

    def address_on_node(self, name: str) -> WorkerAddress | None:
        """Return the address of a worker on a node; None if it isn't on any."""
        member = self.find(name)
        if member is None or member.address is None or member.address.node is None:
            return None
        return member.address

    def absence(self, name: str) -> str:
        """Return the sentence for a name that no worker has."""
        with self._lock:
            guests = sum(each.kind is WorkerKind.GUEST for each in self._members.values())
        others = f", and {guests} guests" if guests else ""
        return f"there is no worker {name}; the fleet has {self._settings.workers}{others}"

    def add_guest(self, name: str) -> Member:
        """Add a guest, with the lowest index that is free after the fleet's own workers.

        Args:
            name: that no other worker has.

        Raises:
            OSError: there is no port for it.
        """
        with self._lock:
            used = {each.index for each in self._members.values()}
            index = self._settings.workers
            while index in used:
                index += 1
            return self._add(name, index, index, port=self._free_port(index))

    def add_worker(self, index: int) -> Member:
        """Add a worker that a node is given, at the lowest seat that is free."""
        with self._lock:
            taken = {each.seat for each in self._members.values()}
            seat = next(seat for seat in range(len(taken) + 1) if seat not in taken)
            return self._add(instance_id(index), index, seat)

    def move(self, name: str, address: WorkerAddress | None) -> None:
        """Set where a worker of the fleet is reached from now on; None: nowhere."""
        with self._lock:
            self._members[name] = replace(self._members[name], address=address)

    def renew_port(self, name: str) -> int:
        """Give a guest that is about to start a port that is free now, and return that.

        Raises:
            OSError: there is none.
        """
        with self._lock:
            member = self._members.pop(name)
            port = self._free_port(member.index)
            self._members[name] = replace(member, port=port, address=self._address(port))
            return port

    def remove(self, name: str) -> None:
        """Remove a guest or a worker of a node; its seat and port are free for others."""
        with self._lock:
            del self._members[name]

    def _add(
        self, name: str, index: int, seat: int, *, port: int | None = None, is_here: bool = True
    ) -> Member:
        kind = WorkerKind.GUEST if port is not None else WorkerKind.FLEET
        port = port or self._settings.worker_port(index)
        address = self._address(port) if is_here else None
        self._members[name] = member = Member(name, index, seat, port, kind, address)
        return member

    def _address(self, port: int) -> WorkerAddress:
        return WorkerAddress(f"http://{self._settings.internal_authority(port)}")

    def _free_port(self, index: int) -> int:
        settings = self._settings
        taken = {each.port for each in self._members.values()}
        taken |= set(settings.ports.model_dump(exclude={"worker"}).values())
        return free_port(settings.internal_host, settings.worker_port(index), taken.__contains__)
