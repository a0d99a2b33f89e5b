"""Connections between processes of one user on one machine, and memory that they share.

Sockets are in the abstract namespace, and memory has no name: whoever dies leaves nothing behind.
"""

import contextlib
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Iterator

PING = b"?"
"""First message of whoever only asks whether a process answers, with the same."""

_CREDENTIALS = struct.Struct("3i")  # unix(7): struct ucred.


def inference_server_name(learner_port: int, number: int) -> str:
    """Return the name that an inference server listens under.

    Args:
        learner_port: of its fleet, which no other fleet of the machine has.
        number: of the server in the fleet.
    """
    return f"inference-{learner_port}-{number}"


def address(name: str) -> str:
    """Return an address in the abstract namespace, which belongs to the network as a port does."""
    return f"\0metabonk-{name}"


def make_socket() -> socket.socket:
    """Create a socket that keeps the bounds of messages."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def listen(name: str) -> socket.socket:
    """Create a socket that accepts connections under a name.

    Raises:
        OSError: another process listens there.
    """
    listener = make_socket()
    try:
        listener.bind(address(name))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def connect(name: str, timeout_s: float) -> socket.socket:
    """Connect to the process that listens under a name.

    Args:
        name: of ``listen``.
        timeout_s: of this and every later call of the socket.

    Raises:
        OSError: there is none, or it is another user's.
    """
    connection = make_socket()
    try:
        connection.settimeout(timeout_s)
        connection.connect(address(name))
        require_same_user(connection)
    except OSError:
        connection.close()
        raise
    return connection


def answers(name: str, timeout_s: float) -> bool:
    """Tell whether the process that listens under a name answers a ``PING``.

    Raises:
        OSError: nobody listens there, or the answer took too long.
    """
    with connect(name, timeout_s) as connection:
        connection.send(PING)
        return connection.recv(len(PING)) == PING


def require_same_user(connection: socket.socket) -> None:
    """Check who is at the other end.

    Raises:
        PermissionError: another user.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(data)
    if user != os.geteuid():
        raise PermissionError(f"the process at the other end is of user {user}, not of this one")


@contextlib.contextmanager
def shared_memory(size: int) -> Iterator[tuple[int, mmap.mmap]]:
    """Yield the descriptor of new memory, which is closed afterwards, and the memory.

    Args:
        size: bytes.

    Raises:
        OSError: there is not as much.
    """
    descriptor = os.memfd_create("metabonk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(descriptor, 0, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        yield descriptor, mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def map_memory(descriptor: int, *, writable: bool = False) -> mmap.mmap:
    """Map memory of another process, and close its descriptor.

    Raises:
        OSError: it might shrink while it is used, which would end this process.
    """
    try:
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise PermissionError("the memory that a process shares is not sealed")
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=protection)
    finally:
        os.close(descriptor)
