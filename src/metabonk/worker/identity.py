"""Name, index and port of a worker."""

from dataclasses import dataclass
from typing import Self

from metabonk.messages.workers import WorkerKind, instance_id
from metabonk.settings import Settings


@dataclass(frozen=True, slots=True)
class Identity:
    """Name, number and port by which a worker is known.

    Attributes:
        name: in addresses, logs and on the page.
        index: among all workers; the director's key.
        port: of its HTTP server.
        kind: of the worker.
    """

    name: str
    index: int
    port: int
    kind: WorkerKind

    @classmethod
    def of_worker(cls, settings: Settings, index: int) -> Self:
        """Return the identity of a worker of a fleet."""
        return cls(instance_id(index), index, settings.worker_port(index), WorkerKind.FLEET)
