"""An ASGI application served by uvicorn in a thread of its own."""

import asyncio
import contextlib
import errno
import functools
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from metabonk.errors import StartError
from metabonk.http.connection import (
    ConnectionLimits,
    HttpConnection,
    PendingRequests,
    WebSocketConnection,
)

STARTUP_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
LONGEST_MESSAGE_OF_A_VIEWER = 4096
"""Bytes; a viewer has nothing to say over a WebSocket."""

SEND_BUFFER = 256 * 1024
"""Bytes the kernel holds for a slow viewer. Its own default grows to megabytes, seconds of video
that would count as sent before the viewer's queue notices."""

PATIENCE = ConnectionLimits()


class HttpServer:
    """Serves ``app`` on ``host:port`` until ``stop``.

    The port is bound by ``start`` on the calling thread, so a port that is taken is an error of the
    process that wanted it and not a line in a log.

    Args:
        app: what is served.
        host: an address of this machine.
        port: of it.
        patience: with clients that are slow or have vanished.
    """

    def __init__(
        self, app: ASGIApp, host: str, port: int, *, patience: ConnectionLimits = PATIENCE
    ) -> None:
        self._host = host
        self._port = port
        self._patience = patience
        connection = functools.partial(HttpConnection, PendingRequests(patience))
        self._server = _ThreadedServer(
            uvicorn.Config(
                app,
                http=connection,  # type: ignore[arg-type]  # Called, and nothing else.
                ws=WebSocketConnection,
                access_log=False,
                log_config=None,
                log_level="warning",
                timeout_graceful_shutdown=1,
                # A viewer on a page needs no compression of video, and pings keep proxies awake.
                ws_per_message_deflate=False,
                ws_max_size=LONGEST_MESSAGE_OF_A_VIEWER,
            )
        )
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Returns when connections are accepted.

        Raises:
            StartError: the port is taken, or the address is not this machine's.
        """
        listener = _bind(self._host, self._port)
        self._patience.on(listener)
        started = threading.Event()

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self._server.on_started = started.set
            await self._server.serve([listener])

        def run() -> None:
            try:
                asyncio.run(serve())
            finally:
                listener.close()
                started.set()

        self._thread = threading.Thread(target=run, name=f"http-{self._port}", daemon=True)
        self._thread.start()
        started.wait(STARTUP_TIMEOUT_S)
        if not self._server.started:
            raise StartError(f"the server on port {self._port} did not start; its log says why")

    def stop(self) -> None:
        """Closes the port and every connection."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(SHUTDOWN_TIMEOUT_S)
            self._thread = None


class _ThreadedServer(uvicorn.Server):
    """Leaves signals to the process, and tells when it accepts."""

    on_started = staticmethod(lambda: None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Without it a port stays taken for a minute after a fleet that had viewers.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} is in use by another program; 'ss -ltnp | grep :{port}' shows which. "
                "Stop it, or choose another port under [ports] in metabonk.toml"
            ) from None
        raise StartError(f"can't listen on {host}:{port}: {error.strerror}") from None
    return listener
