"""An application behind a real server on a free port."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from starlette.types import ASGIApp

from metabonk.http.connection import ConnectionLimits
from metabonk.http.server import DEFAULT_LIMITS, HttpServer

PORTS = 20_000, 32_000
"""Below /proc/sys/net/ipv4/ip_local_port_range."""


@contextmanager
def served(
    app: ASGIApp, port: int | None = None, *, limits: ConnectionLimits = DEFAULT_LIMITS
) -> Iterator[httpx.Client]:
    """Serves ``app``; gives a client of it."""
    port = port or free_port()
    server = HttpServer(app, "127.0.0.1", port, limits=limits)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.stop()


def free_port() -> int:
    """Return a free port."""
    return free_ports(1)[0]


def free_ports(count: int, *, spare: int = 0) -> list[int]:
    """Return ``count`` consecutive free ports, followed by ``spare`` more.

    They lie below the range of the local ends of connections: a port from there that is free now
    may be in use a moment later. Each process of pytest-xdist draws from a part of the range, so
    two of them never choose the same port.
    """
    first, last = PORTS
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    part = (last - first) // processes
    while True:
        start = random.randrange(first + number * part, first + (number + 1) * part - count - spare)
        ports = range(start, start + count + spare)
        if all(_is_free(port) for port in ports):
            return list(ports)[:count]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
