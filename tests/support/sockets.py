"""Clients that misbehave below HTTP."""

import ctypes
import socket
import struct
import time

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
