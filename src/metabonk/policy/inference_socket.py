"""A worker's connection to an inference server of its machine (see ``inference_wire``)."""

import socket
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metabonk.errors import PolicyError
from metabonk.games import Observation
from metabonk.policy.forward import Forward
from metabonk.policy.inference_wire import (
    ACCEPTED,
    MAX_ANSWER_BYTES,
    REPLY,
    REQUEST,
    Hello,
    InferenceSlab,
)
from metabonk.policy.spec import PolicySpec
from metabonk.system import peers

TIMEOUT_S = 2.0
"""For an answer. A forward pass takes milliseconds; whoever waits longer decides by itself."""


class InferenceSocket:
    """Connection to an inference server, for one thread at a time.

    Args:
        name: of the server.
        spec: of the policy.
        capacity: observations of one forward pass at most.

    Raises:
        OSError: there is no such server, or it doesn't answer.
        PolicyError: it has another policy.
    """

    def __init__(self, name: str, spec: PolicySpec, capacity: int) -> None:
        hello = Hello(spec=spec, capacity=capacity)
        self._socket = peers.connect(name, TIMEOUT_S)
        try:
            with peers.shared_memory(InferenceSlab.size(hello)) as (descriptor, memory):
                socket.send_fds(self._socket, [hello.model_dump_json().encode()], [descriptor])
            answer = self._receive()
        except OSError:
            self.close()
            raise
        if answer != ACCEPTED:
            self.close()
            raise PolicyError(answer.decode(errors="replace"))
        self._slab, self._count = InferenceSlab(memory, hello), 0

    def request(self, observations: Sequence[Observation], memory: NDArray[np.float32]) -> None:
        """Ask for a forward pass; ``answer`` follows each request.

        Args:
            observations: N, at most the capacity.
            memory: the recurrent states before them, ``[N, H]``.

        Raises:
            OSError: the server has ended.
        """
        slab, self._count = self._slab, len(observations)
        for row, observation in enumerate(observations):
            slab.observations[row] = observation
        slab.memory[: self._count] = memory
        self._socket.send(REQUEST.pack(self._count))

    def answer(self) -> Forward:
        """Wait for the forward pass that was asked for.

        Raises:
            OSError: the server does not answer, or has ended.
        """
        (version,) = REPLY.unpack(self._receive())
        slab, count = self._slab, self._count
        return Forward(
            slab.parameters[:count].copy(),
            slab.values[:count].copy(),
            slab.next_memory[:count].copy(),
            version,
        )

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self) -> bytes:
        message = self._socket.recv(MAX_ANSWER_BYTES)
        if not message:
            raise ConnectionResetError("it closed the connection")
        return message
