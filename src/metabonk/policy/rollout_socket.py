"""Rollouts between processes of one machine, through memory that they share.

``RolloutSocket`` is a worker's end, ``RolloutListener`` the learner's. The worker writes each
rollout into the same memory, sends its length, and waits for the answer before it writes the next.
That costs less than HTTP, by which rollouts come from everywhere else.

The memory has no name and the socket no file: whoever dies leaves nothing behind. Either end talks
only to processes of the same user.
"""

import contextlib
import logging
import mmap
import socket
import struct
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metabonk.system import peers

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""For an answer."""

MAX_ANSWER_BYTES = 4096
GROWTH = 1.25
"""By which new memory exceeds the rollout that it is for."""

_LENGTH = struct.Struct("<Q")


class Answer(NamedTuple):
    """Answer to a rollout.

    Attributes:
        status: as of HTTP.
        message: why it was refused; empty if it was not.
    """

    status: int
    message: str = ""

    def to_bytes(self) -> bytes:
        """Encode for ``from_bytes``; a long message is cut off."""
        return f"{self.status} {self.message}".encode()[:MAX_ANSWER_BYTES]

    @classmethod
    def from_bytes(cls, data: bytes) -> "Answer":
        """Decode what ``to_bytes`` encoded."""
        status, _, message = data.decode(errors="replace").partition(" ")
        return cls(int(status), message)


class RolloutSocket:
    """Connection to the learner on this machine, for one thread.

    Args:
        port: the learner's, by which it is known.

    Raises:
        OSError: there is none, or it is another user's.
    """

    def __init__(self, port: int) -> None:
        self._socket = peers.connect(_name(port), TIMEOUT_S)
        self._memory: mmap.mmap | None = None

    def send(self, rollout: bytes) -> Answer:
        """Send a rollout and wait for the answer.

        Raises:
            OSError: there is none within ``TIMEOUT_S``, or the learner has ended.
        """
        if self._memory is None or len(rollout) > len(self._memory):
            with peers.shared_memory(round(len(rollout) * GROWTH)) as (descriptor, self._memory):
                self._memory[: len(rollout)] = rollout
                message = _LENGTH.pack(len(rollout))
                socket.send_fds(self._socket, [message], [descriptor])
        else:
            self._memory[: len(rollout)] = rollout
            self._socket.send(_LENGTH.pack(len(rollout)))
        answer = self._socket.recv(MAX_ANSWER_BYTES)
        if not answer:
            raise ConnectionResetError("it closed the connection")
        return Answer.from_bytes(answer)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._memory = None


class RolloutListener:
    """The learner's end, with a thread for each connection.

    Args:
        port: the learner's HTTP port, which no other process has.
        max_bytes: of a rollout.
        receive: called with every rollout, on many threads; keeps it, and may wait for room.

    Raises:
        OSError: another process listens.
    """

    def __init__(
        self, port: int, max_bytes: int, receive: Callable[[NDArray[np.uint8]], Answer]
    ) -> None:
        self._max_bytes = max_bytes
        self._receive = receive
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._socket = peers.listen(_name(port))
        self._thread = threading.Thread(target=self._accept, name="rollouts-accept", daemon=True)

    def start(self) -> None:
        """Start accepting connections."""
        self._thread.start()

    def close(self) -> None:
        """End all connections, and accept none any more."""
        with self._lock:
            self._closed = True
            for each in (self._socket, *self._connections):
                with contextlib.suppress(OSError):  # The other end has gone.
                    each.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if not self._closed:
                    log.error("accepts no more rollouts through shared memory: %s", error.strerror)
                return
            with self._lock:
                if self._closed:
                    connection.close()
                    return
                self._connections.add(connection)
            serving = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            serving.name = "rollouts-local"
            serving.start()

    def _serve(self, connection: socket.socket) -> None:
        memory: mmap.mmap | None = None
        try:
            with connection:
                peers.require_same_user(connection)
                while True:
                    message, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
                    for descriptor in descriptors:
                        memory = peers.map_memory(descriptor)
                    if len(message) != _LENGTH.size:
                        return
                    (length,) = _LENGTH.unpack(message)
                    connection.send(self._answer(memory, length).to_bytes())
        except OSError as error:
            if not self._closed and not isinstance(error, ConnectionError):
                log.warning("a worker's rollouts can't be read: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, memory: mmap.mmap | None, length: int) -> Answer:
        if memory is None or length > len(memory):
            return Answer(400, f"the rollout's {length} bytes are not in the shared memory")
        if length > self._max_bytes:
            return Answer(413, f"the rollout has {length} bytes; at most {self._max_bytes} fit")
        # Copied by numpy, which other threads need not wait for.
        return self._receive(np.frombuffer(memory, np.uint8, length).copy())


def _name(port: int) -> str:
    return f"rollouts-{port}"
