"""The worker's part of the inference that workers share: a connection to its server."""

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


class SharedInference:
    """Forward passes made by an inference server; those of one thread at a time.

    A thread of its own connects, and connects again: nobody waits for a server that does not
    answer for longer than one pass.

    Args:
        name: of the server.
        spec: of the policy.
        capacity: observations of one forward pass at most.
    """

    def __init__(self, name: str, spec: PolicySpec, capacity: int) -> None:
        self._name, self._spec, self._capacity = name, spec, capacity
        self._socket: InferenceSocket | None = None
        self._contact = Contact("the inference server", "this worker decides by itself")
        self._thread = PeriodicThread(self._connect, RETRY_S, name="inference")

    @property
    def is_connected(self) -> bool:
        """True while the server decides."""
        return self._socket is not None

    def start(self) -> None:
        """Start connecting."""
        self._thread.start()

    def close(self) -> None:
        """Close the connection, which nobody uses any more."""
        self._thread.close()
        if self._socket is not None:
            self._socket.close()

    def forward(
        self, observations: Sequence[Observation], memory: NDArray[np.float32]
    ) -> Forward | None:
        """Have the server make a forward pass; see ``policy.forward.ForwardPass``."""
        connection = self._socket
        if connection is None:
            return None
        try:
            return connection.forward(observations, memory)
        except OSError as error:
            # What it answers late would be taken for the answer to the next request.
            connection.close()
            self._socket = None
            self._contact.lost(error)
            return None

    def _connect(self) -> None:
        if self._socket is not None:
            return
        try:
            self._socket = InferenceSocket(self._name, self._spec, self._capacity)
            self._contact.found()
            log.info("an inference server decides in the games that nobody watches")
        except (OSError, PolicyError) as error:
            self._contact.lost(error)
