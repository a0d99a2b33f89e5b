"""Rollouts between processes of one machine, through memory that they share.

``RolloutSocket`` is a worker's end, ``RolloutListener`` the learner's. The worker writes each
rollout into the same memory, sends its length, and waits for the answer before it writes the next.
That costs less than HTTP, by which rollouts come from everywhere else.

The memory has no name and the socket no file: whoever dies leaves nothing behind. Either end talks
only to processes of the same user.
"""

import logging
import mmap
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from metabonk.system import peers

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""For an answer."""

ROOM_TIMEOUT_S = 1.0
"""Longest wait of a rollout for room in the learner. An update usually takes less, and a refused
rollout is sent again at once."""

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
    """The learner's end: one thread for all connections.

    Training shares the interpreter lock with it. With a thread for each connection, training would
    wait for the lock behind all of them whenever there is room for rollouts again.

    Args:
        port: the learner's HTTP port, which no other process has.
        max_bytes: of a rollout.
        receive: called with every rollout, and with the time on ``time.monotonic()`` until which it
            may wait for room; keeps the rollout.

    Raises:
        OSError: another process listens.
    """

    def __init__(
        self,
        port: int,
        max_bytes: int,
        receive: Callable[[NDArray[np.uint8], float], Answer],
    ) -> None:
        self._max_bytes = max_bytes
        self._receive = receive
        self._socket = peers.listen(_name(port))
        self._memories: dict[socket.socket, mmap.mmap | None] = {}
        self._closing, self._closed = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for each in (self._socket, self._closed):
            self._selector.register(each, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="rollouts-local", daemon=True)

    @property
    def connections(self) -> int:
        """Connections that are served."""
        return len(self._memories)

    def start(self) -> None:
        """Start accepting connections."""
        self._thread.start()

    def close(self) -> None:
        """End all connections, and accept none any more."""
        self._closing.close()
        if self._thread.is_alive():
            self._thread.join()
        self._selector.close()
        for each in (self._socket, self._closed, *self._memories):
            each.close()

    def _run(self) -> None:
        while True:
            ready = [cast(socket.socket, key.fileobj) for key, _ in self._selector.select()]
            if self._closed in ready:
                return
            # The same for all: nobody waits longer because others wait too.
            deadline = time.monotonic() + ROOM_TIMEOUT_S
            for each in ready:
                if each is self._socket:
                    self._accept()
                else:
                    self._serve(each, deadline)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            log.error("accepts no more workers through shared memory: %s", error.strerror)
            self._selector.unregister(self._socket)
            return
        try:
            peers.require_same_user(connection)
        except PermissionError as error:
            log.warning("a worker's rollouts can't be read: %s", error)
            connection.close()
            return
        # Whoever doesn't take the answers must not make the others wait.
        connection.setblocking(False)
        self._memories[connection] = None
        self._selector.register(connection, selectors.EVENT_READ)

    def _serve(self, connection: socket.socket, deadline: float) -> None:
        try:
            if self._answer_one(connection, deadline):
                return
        except ConnectionError:
            pass  # The worker has ended.
        except OSError as error:
            log.warning("a worker's rollouts can't be read: %s", error)
        self._selector.unregister(connection)
        connection.close()
        del self._memories[connection]

    def _answer_one(self, connection: socket.socket, deadline: float) -> bool:
        """Answer a message; return whether it was one."""
        message, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
        for descriptor in descriptors:
            self._memories[connection] = peers.map_memory(descriptor)
        if len(message) != _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack(message)
        answer = self._receive_from(self._memories[connection], length, deadline)
        connection.send(answer.to_bytes())
        return True

    def _receive_from(self, memory: mmap.mmap | None, length: int, deadline: float) -> Answer:
        if memory is None or length > len(memory):
            return Answer(400, f"the rollout's {length} bytes are not in the shared memory")
        if length > self._max_bytes:
            return Answer(413, f"the rollout has {length} bytes; at most {self._max_bytes} fit")
        # Copied by numpy, which other threads need not wait for.
        return self._receive(np.frombuffer(memory, np.uint8, length).copy(), deadline)


def _name(port: int) -> str:
    return f"rollouts-{port}"
