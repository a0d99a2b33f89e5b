"""The workers that there are, by name: those of the fleet, and guests, which come and go."""

import threading
from dataclasses import dataclass, replace

from metabonk.messages import WorkerKind, WorkerStatus, instance_id
from metabonk.settings import Settings
from metabonk.system.ports import free_port


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as the orchestrator knows it.

    Attributes:
        name: in addresses, logs and on the page.
        index: among all workers; the director's key.
        port: of its HTTP server; never taken from a heartbeat.
        kind: of the worker.
    """

    name: str
    index: int
    port: int
    kind: WorkerKind


class Roster:
    """Table of the workers. Thread-safe.

    Args:
        settings: of the fleet, whose workers are there from the beginning.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._members = {
            instance_id(index): Member(
                instance_id(index), index, settings.worker_port(index), WorkerKind.FLEET
            )
            for index in range(settings.workers)
        }

    def find(self, name: str) -> Member | None:
        """Return the worker of this name; None if there is none."""
        return self._members.get(name)

    def matches(self, status: WorkerStatus) -> bool:
        """Tell whether a status is of a worker that there is."""
        member = self.find(status.instance_id)
        known = None if member is None else (member.index, member.kind)
        return known == (status.worker_index, status.kind)

    def name_of(self, index: int) -> str:
        """Return the name of the worker with this index."""
        with self._lock:
            named = (each.name for each in self._members.values() if each.index == index)
            return next(named, instance_id(index))

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
            member = Member(name, index, self._free_port(index), WorkerKind.GUEST)
            self._members[name] = member
            return member

    def renew_port(self, name: str) -> int:
        """Give a guest that is about to start a port that is free now, and return that.

        Raises:
            OSError: there is none.
        """
        with self._lock:
            member = self._members.pop(name)
            self._members[name] = replace(member, port=self._free_port(member.index))
            return self._members[name].port

    def remove(self, name: str) -> None:
        """Remove a guest; its index and port are free for others."""
        with self._lock:
            del self._members[name]

    def _free_port(self, index: int) -> int:
        settings = self._settings
        taken = {each.port for each in self._members.values()}
        taken |= set(settings.ports.model_dump(exclude={"worker"}).values())
        return free_port(settings.internal_host, settings.worker_port(index), taken.__contains__)
