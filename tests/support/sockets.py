"""Clients that misbehave below HTTP."""

import ctypes
import socket
import struct
import time

from tests.support.waiting import GENEROUS_S

SO_ATTACH_FILTER = 26


def vanish(connection: socket.socket) -> None:
    """The client's machine is gone: no segment that arrives is answered any more, not even by FIN.

    A packet filter that takes none (socket(7), SO_ATTACH_FILTER) needs no rights.
    """
    take_nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET 0
    program = struct.pack("HL", 1, ctypes.addressof(take_nothing))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def ended(connection: socket.socket) -> bool:
    """Reads until the other end closes the connection, or for too long."""
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
