"""TCP ports of this machine, and whether they can be listened on."""

import errno
import socket
from collections.abc import Callable

MAX_PORT = 65_535


def bind_error(host: str, port: int) -> OSError | None:
    """Return why nothing can listen there; None if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the servers do: closing connections of an earlier fleet must not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None


def free_port(host: str, first: int, is_taken: Callable[[int], bool] = lambda port: False) -> int:
    """Return the lowest port from ``first`` on that can be listened on.

    Args:
        host: to listen on.
        first: port to try first.
        is_taken: tells which ports to leave to others.

    Raises:
        OSError: there is none.
    """
    for port in range(first, MAX_PORT + 1):
        if not is_taken(port) and bind_error(host, port) is None:
            return port
    raise OSError(errno.EADDRINUSE, f"no port from {first} on is free")


def free_ports(host: str, first: int, count: int, is_taken: Callable[[int], bool]) -> int:
    """Return the first of the lowest consecutive ports that can all be listened on.

    Args:
        host: to listen on.
        first: port to try first.
        count: number of ports.
        is_taken: tells which ports to leave to others.

    Raises:
        OSError: there are none.
    """
    start = free_port(host, first, is_taken)
    while start + count - 1 <= MAX_PORT:
        ports = range(start, start + count)
        used = [port for port in ports if is_taken(port) or bind_error(host, port) is not None]
        if not used:
            return start
        start = used[-1] + 1
    raise OSError(errno.EADDRINUSE, f"no {count} consecutive ports from {first} on are free")
