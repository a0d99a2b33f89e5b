"""The worker's part of the inference that workers share: connections to its server."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metabonk.errors import PolicyError
from metabonk.games import Observation
from metabonk.policy.forward import Forward
from metabonk.policy.inference_socket import InferenceSocket
from metabonk.policy.spec import PolicySpec
from metabonk.system.contact import Contact
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

RETRY_S = 1.0


class InferenceLane:
    """One forward pass at a time; for one thread at a time.

    Nobody waits for a server that does not answer for longer than one pass.

    Attributes:
        socket: connected to the server; None while there is none.
        version: of the weights that made the last pass; None while there is no server.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._is_asked = False
        self.socket: InferenceSocket | None = None
        self.version: int | None = None

    def request(self, observations: Sequence[Observation], memory: NDArray[np.float32]) -> None:
        """Ask for a forward pass; one that was asked for before is forgotten.

        Args:
            observations: N, at most the capacity.
            memory: the recurrent states before them, ``[N, H]``.
        """
        self.answer()
        if (connection := self.socket) is not None:
            try:
                connection.request(observations, memory)
                self._is_asked = True
            except OSError as error:
                self._lose(connection, error)

    def answer(self) -> Forward | None:
        """Wait for the pass that was asked for; None if there is none."""
        connection = self.socket
        if connection is None or not self._is_asked:
            return None
        self._is_asked = False
        try:
            made = connection.answer()
        except OSError as error:
            self._lose(connection, error)
            return None
        self.version = made.version
        return made

    def close(self) -> None:
        """Close the connection, which nobody uses any more."""
        if self.socket is not None:
            self.socket.close()

    def _lose(self, connection: InferenceSocket, error: OSError) -> None:
        # What it answers late would be taken for the answer to the next request.
        connection.close()
        self.socket = self.version = None
        self._contact.lost(error)


class SharedInference:
    """Forward passes made by an inference server, several at a time.

    A thread of its own connects, and connects again.

    Args:
        name: of the server.
        spec: of the policy.
        capacity: observations of one forward pass at most.
        lanes: passes that may be asked for at the same time.

    Attributes:
        lanes: as many.
    """

    def __init__(self, name: str, spec: PolicySpec, capacity: int, lanes: int) -> None:
        self._name, self._spec, self._capacity = name, spec, capacity
        self._contact = Contact("the inference server", "this worker decides by itself")
        self._thread = PeriodicThread(self._connect, RETRY_S, name="inference")
        self.lanes = [InferenceLane(self._contact) for _ in range(lanes)]

    @property
    def version(self) -> int | None:
        """Version of the weights that decide now; None while the server does not."""
        return max((lane.version for lane in self.lanes if lane.version is not None), default=None)

    @property
    def is_connected(self) -> bool:
        """True while the server decides."""
        return all(lane.socket is not None for lane in self.lanes)

    def start(self) -> None:
        """Start connecting."""
        self._thread.start()

    def close(self) -> None:
        """Close the connections, which nobody uses any more."""
        self._thread.close()
        for lane in self.lanes:
            lane.close()

    def _connect(self) -> None:
        missing = [lane for lane in self.lanes if lane.socket is None]
        try:
            for lane in missing:
                lane.socket = InferenceSocket(self._name, self._spec, self._capacity)
        except (OSError, PolicyError) as error:
            self._contact.lost(error)
            return
        if missing:
            self._contact.found()
            log.info("an inference server decides in the games that nobody watches")
