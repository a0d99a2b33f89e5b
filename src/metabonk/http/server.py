"""An ASGI application served by uvicorn in its own thread."""

import asyncio
import contextlib
import errno
import functools
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from metabonk.errors import PortInUse, StartError
from metabonk.http.admission import AdmissionMiddleware
from metabonk.http.connection import (
    ConnectionLimits,
    HttpConnection,
    PendingRequests,
    WebSocketConnection,
)
from metabonk.system.descriptors import descriptor_limit

STARTUP_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
MAX_MESSAGE_BYTES = 4096
"""Largest WebSocket message from a client: viewers have nothing to send."""

SEND_BUFFER_BYTES = 256 * 1024
"""Kernel buffer for a slow viewer. The default grows to megabytes: seconds of video that would
count as sent before the viewer's queue notices."""

KERNEL_BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted; they take no descriptor of ours."""


class HttpServer:
    """Server of ``app`` on ``host:port``, from ``start`` to ``stop``.

    ``start`` binds the port on the calling thread, so a taken port is an error of the calling
    process and not just a line in a log.

    Args:
        app: ASGI application.
        host: an address of this machine.
        port: TCP port.
        limits: of connections; default: by the descriptors that the process may open.
        max_message_bytes: of a WebSocket message from a client.

    Attributes:
        loop: the event loop that serves; None before ``start``.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        limits: ConnectionLimits | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._host = host
        self._port = port
        limits = limits or ConnectionLimits.within(descriptor_limit())
        self._limits = limits
        connection = functools.partial(HttpConnection, PendingRequests(limits))
        self._server = _ThreadedServer(
            uvicorn.Config(
                AdmissionMiddleware(app, limits),
                http=connection,  # type: ignore[arg-type]  # uvicorn only calls it.
                ws=WebSocketConnection,
                access_log=False,
                log_config=None,
                log_level="warning",
                # asyncio accepts as many connections in one turn as it asks the kernel to keep.
                backlog=limits.accept_batch,
                timeout_graceful_shutdown=1,
                # Video is compressed already.
                ws_per_message_deflate=False,
                ws_max_size=max_message_bytes,
            )
        )
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Return once connections are accepted.

        Raises:
            PortInUse: another program has the port.
            StartError: the address is not one of this machine.
        """
        listener = _bind(self._host, self._port)
        self._limits.apply_to(listener)
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
            raise StartError(f"the server on port {self._port} did not start; see its log")

    def stop(self) -> None:
        """Close the port and every connection."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(SHUTDOWN_TIMEOUT_S)
            self._thread = None


class _ThreadedServer(uvicorn.Server):
    """Server that leaves signals to the process and reports when it accepts connections."""

    on_started = staticmethod(lambda: None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(KERNEL_BACKLOG)
        self.on_started()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Otherwise the port stays taken for a minute after a fleet that had viewers (TIME_WAIT).
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    # Connections inherit it. Otherwise a body waits 40 ms for the acknowledgement of its header.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        # Two may bind the same port (SO_REUSEADDR); only one can listen.
        listener.listen(1)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} is in use by another program; 'ss -ltnp | grep :{port}' shows which. "
                "Stop it, or choose another port under [ports] in metabonk.toml"
            ) from None
        raise StartError(f"can't listen on {host}:{port}: {error.strerror}") from None
    return listener
