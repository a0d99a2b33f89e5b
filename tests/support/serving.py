"""An application behind a real server on a free port."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp

from metabonk.http.connection import ConnectionLimits
from metabonk.http.server import HttpServer
from tests.support.waiting import GENEROUS_S, until

PORTS = 20_000, 32_000
"""Below /proc/sys/net/ipv4/ip_local_port_range: the kernel takes the near ends of connections from
there, so a port of that range that is free now may be taken a moment later."""


@contextmanager
def served(
    app: ASGIApp, port: int | None = None, *, limits: ConnectionLimits | None = None
) -> Iterator[httpx.Client]:
    """Serve ``app`` for the block and yield a client of it."""
    port = port or free_port()
    server = HttpServer(app, "127.0.0.1", port, limits=limits)
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, timeout=GENEROUS_S, trust_env=False) as client:
            yield client
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int, *, spare: int = 0) -> list[int]:
    """Return ``count`` consecutive free ports, followed by ``spare`` more free ones."""
    low, high = _own_ports()
    while True:
        start = random.randrange(low, high - count - spare)
        ports = range(start, start + count + spare)
        if all(_is_free(port) for port in ports):
            return list(ports)[:count]


def _own_ports() -> tuple[int, int]:
    """Return this process's share of ``PORTS`` among pytest-xdist's."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (PORTS[1] - PORTS[0]) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return PORTS[0] + number * size, PORTS[0] + (number + 1) * size


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def served_on_socket(app: ASGIApp, path: Path) -> Iterator[None]:
    """Serve ``app`` on a Unix socket for the block."""
    server = uvicorn.Server(uvicorn.Config(app, uds=str(path), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until("the socket is served", lambda: server.started)
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
