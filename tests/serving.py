"""An application behind a real server on a free port."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from starlette.types import ASGIApp

from metabonk.http_server import HttpServer


@contextmanager
def served(app: ASGIApp, port: int | None = None) -> Iterator[httpx.Client]:
    """Serves ``app``; gives a client of it."""
    port = port or free_port()
    server = HttpServer(app, "127.0.0.1", port)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
