"""Clients that misbehave below HTTP."""

import contextlib
import ctypes
import resource
import socket
import struct
import time
from collections import deque

from tests.support.waiting import GENEROUS_S

SO_ATTACH_FILTER = 26


def vanish(connection: socket.socket) -> None:
    """Make the client's machine disappear: no segment is answered any more, not even by FIN.

    A packet filter that accepts nothing (socket(7), SO_ATTACH_FILTER) needs no privileges.
    """
    accept_nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET 0
    program = struct.pack("HL", 1, ctypes.addressof(accept_nothing))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def ended(connection: socket.socket) -> bool:
    """Read until the other end closes the connection; False if it doesn't in time."""
    deadline = time.monotonic() + GENEROUS_S
    try:
        while time.monotonic() < deadline:
            if not connection.recv(1 << 16):
                return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return False


def flood(port: int, count: int, data: bytes = b"") -> None:
    """Open ``count`` connections, send ``data`` on each, and leave at the end.

    As many as the process may open are kept; of the others the oldest are closed.
    """
    kept: deque[socket.socket] = deque(maxlen=resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    try:
        for _ in range(count):
            if len(kept) == kept.maxlen:
                kept.popleft().close()
            kept.append(socket.create_connection(("127.0.0.1", port), GENEROUS_S))
            with contextlib.suppress(ConnectionError):  # It was shown out at once.
                kept[-1].sendall(data)
    finally:
        for connection in kept:
            connection.close()
