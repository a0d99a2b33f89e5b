"""Connections of workers, in one thread: whatever waits is answered by one forward pass."""

import logging
import selectors
import socket
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from metabonk.inference_server.batch import Request
from metabonk.policy.inference_wire import (
    ACCEPTED,
    MAX_ANSWER_BYTES,
    MAX_HELLO_BYTES,
    REPLY,
    REQUEST,
    Hello,
    InferenceSlab,
)
from metabonk.policy.spec import PolicySpec
from metabonk.system import peers

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Longest wait for requests before the stop signal is checked."""


class InferenceServer:
    """Serves workers of this machine and user.

    A worker that is refused, or breaks the protocol, is disconnected; it decides by itself then.

    Args:
        name: that it listens under.
        refuse: returns why it can't decide for a policy now; None if it can.
        forward: answers requests in their memory, and returns the version of the weights.

    Attributes:
        decided: observations answered.
        passes: forward passes made.

    Raises:
        OSError: another process listens under this name.
    """

    def __init__(
        self,
        name: str,
        refuse: Callable[[PolicySpec], str | None],
        forward: Callable[[Sequence[Request]], int],
    ) -> None:
        self._refuse = refuse
        self._forward = forward
        self._selector = selectors.DefaultSelector()
        self._listener = peers.listen(name)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._slabs: dict[socket.socket, tuple[InferenceSlab, int]] = {}
        self.decided = 0
        self.passes = 0

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Answer workers until ``stopped``."""
        while not stopped():
            self._take_turn()

    def close(self) -> None:
        """End all connections."""
        for key in [*self._selector.get_map().values()]:
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._slabs.clear()

    def _take_turn(self) -> None:
        """Read whatever has arrived, and answer the requests among it."""
        waiting: dict[socket.socket, Request] = {}
        for key, _ in self._selector.select(POLL_S):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if connection is self._listener:
                self._accept()
                continue
            try:
                if (request := self._receive(connection)) is not None:
                    waiting[connection] = request
            except (OSError, ValueError) as error:
                self._disconnect(connection, error)
        if waiting:
            self._answer(waiting)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # It has left again.
            return
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection: socket.socket) -> Request | None:
        """Read a message; return the request, if it is one.

        Raises:
            OSError: the worker has left, or is not of this user.
            ValueError: it says what it must not say.
        """
        if connection not in self._slabs:
            self._greet(connection)
            return None
        message = connection.recv(REQUEST.size + 1)
        if not message:
            raise ConnectionResetError("it has left")
        slab, capacity = self._slabs[connection]
        if len(message) != REQUEST.size:
            raise ValueError(f"a request has {len(message)} bytes")
        (count,) = REQUEST.unpack(message)
        if not 1 <= count <= capacity:
            raise ValueError(f"it asks for {count} decisions, of {capacity} at most")
        return Request(slab, count)

    def _greet(self, connection: socket.socket) -> None:
        peers.require_same_user(connection)
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_HELLO_BYTES, 1)
        mapped = [peers.map_memory(descriptor, writable=True) for descriptor in descriptors]
        if message == peers.PING:
            connection.send(peers.PING)
            return
        if not message:
            raise ConnectionResetError("it has left")
        hello = Hello.model_validate_json(message)
        if refusal := self._refuse(hello.spec):
            connection.send(refusal.encode()[:MAX_ANSWER_BYTES])
            raise ConnectionResetError("it was refused")
        if not mapped or len(mapped[0]) < InferenceSlab.size(hello):
            raise ValueError("it shares too little memory")
        self._slabs[connection] = InferenceSlab(mapped[0], hello), hello.capacity
        connection.send(ACCEPTED)

    def _answer(self, waiting: dict[socket.socket, Request]) -> None:
        requests = list(waiting.values())
        reply = REPLY.pack(self._forward(requests))
        self.passes += 1
        self.decided += sum(request.observations for request in requests)
        for connection in waiting:
            try:
                connection.send(reply)
            except OSError as error:
                self._disconnect(connection, error)

    def _disconnect(self, connection: socket.socket, error: Exception) -> None:
        if isinstance(error, ValidationError):
            log.warning("a worker's first message can't be read (%d errors)", error.error_count())
        elif not isinstance(error, ConnectionError):
            log.warning("a worker was disconnected: %s", error)
        self._selector.unregister(connection)
        self._slabs.pop(connection, None)
        connection.close()
