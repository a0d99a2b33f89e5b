"""Connections that end when their client is too slow, has vanished or floods them.

uvicorn closes a connection that idles after a response, and no other: a client that sends one byte
of its request a second, or none at all, holds one forever. So a request must be complete within
``ConnectionLimits.request_timeout_s``, and the number of connections without one is bounded. A
response in progress is never cut off, however long it is; the kernel ends the connection once the
client no longer takes any of it. ``admission`` bounds the number of responses.
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame

MAX_FRAMES = 64
"""Frames of one WebSocket message: a limit in bytes doesn't count empty ones."""

TEXTS_BEFORE = "metabonk.texts_before"
"""Key of an ASGI ``websocket.send``: texts that are sent in front of it, in the same write. A write
costs more than everything else that is done for a message of a stream."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on the connections of one server.

    Attributes:
        request_timeout_s: for a whole request, from the connection or the response before it.
        peer_timeout_s: for a client to take or acknowledge anything that is sent to it.
        max_pending: connections without a whole request; beyond it the oldest of the client with
            the most is closed.
        max_open: responses at a time; beyond it 503.
        max_endless: endless ones among them.
        accept_batch: connections accepted in one turn of the event loop. Four batches may be open
            before the first is bounded by ``max_pending``.
    """

    request_timeout_s: float = 20.0
    peer_timeout_s: float = 60.0
    max_pending: int = 256
    max_open: int = 1024
    max_endless: int = 768
    accept_batch: int = 64

    @classmethod
    def within(cls, descriptors: int) -> "ConnectionLimits":
        """Return limits that leave a quarter of a process's descriptors to everything else.

        The orchestrator has up to three servers: the API, the page and go2rtc's. A response of the
        last two takes a second descriptor, for the server behind them. Together at most (2 + 3 +
        3)/12 and three times four batches of 1/192.

        Args:
            descriptors: that the process may open.
        """
        most, share = cls(), descriptors // 12
        return cls(
            max_pending=min(most.max_pending, share),
            max_open=min(most.max_open, share),
            max_endless=min(most.max_endless, share * 3 // 4),
            accept_batch=min(most.accept_batch, max(1, descriptors // 192)),
        )

    def apply_to(self, listener: socket.socket) -> None:
        """Make the kernel end accepted connections whose client has vanished.

        ``TCP_USER_TIMEOUT`` ends a connection that leaves data unacknowledged or its window closed
        (tcp(7)); keepalive probes an idle one. Accepted sockets inherit both.
        """
        tcp = socket.IPPROTO_TCP
        listener.setsockopt(tcp, socket.TCP_USER_TIMEOUT, round(self.peer_timeout_s * 1000))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(tcp, socket.TCP_KEEPIDLE, max(1, round(self.peer_timeout_s / 2)))
        listener.setsockopt(tcp, socket.TCP_KEEPINTVL, max(1, round(self.peer_timeout_s / 6)))


class PendingRequests:
    """The connections that have not sent a whole request yet, by client and oldest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._deadlines: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._by_client: dict[str, dict[asyncio.Transport, None]] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: asyncio.Transport) -> None:
        """Set a deadline for the connection's request; one already pending keeps its own."""
        if connection in self._deadlines:
            return
        loop = asyncio.get_running_loop()
        self._deadlines[connection] = loop.call_later(
            self._limits.request_timeout_s, self._evict, connection
        )
        self._by_client.setdefault(_client(connection), {})[connection] = None
        if len(self) > self._limits.max_pending:
            most = max(self._by_client.values(), key=len)
            self._evict(next(iter(most)))

    def remove(self, connection: asyncio.Transport) -> None:
        """Cancel the deadline: the request is whole or the connection over; may be repeated."""
        if deadline := self._deadlines.pop(connection, None):
            deadline.cancel()
            client = _client(connection)
            self._by_client[client].pop(connection)
            if not self._by_client[client]:
                del self._by_client[client]

    def _evict(self, connection: asyncio.Transport) -> None:
        self.remove(connection)
        # Not close(): that would wait until the client has taken what was sent.
        connection.abort()


def _client(connection: asyncio.Transport) -> str:
    """Return the client's address; empty if it left before it was accepted."""
    peer = connection.get_extra_info("peername")
    return str(peer[0]) if peer else ""


class HttpConnection(H11Protocol):
    """HTTP/1.1 with a deadline for every request.

    Args:
        pending: shared by all connections of the server.
        uvicorn: arguments that uvicorn passes to each of its protocols.
    """

    def __init__(self, pending: PendingRequests, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._pending = pending

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._pending.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._pending.remove(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take part of a request, possibly the last."""
        super().data_received(data)
        self._update_deadline()

    def on_response_complete(self) -> None:
        """Start the deadline of the next request."""
        super().on_response_complete()
        self._update_deadline()

    def send_400_response(self, msg: str) -> None:
        """Reject malformed HTTP. If only the body is malformed, wake the handler so it can exit."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket protocol, which pings it instead."""
        self._pending.remove(self.transport)
        super().handle_websocket_upgrade(event)

    def _update_deadline(self) -> None:
        if self.transport.get_protocol() is not self:
            return
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._pending.add(self.transport)
        else:
            self._pending.remove(self.transport)


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that bounds unfinished messages and unsent replies.

    Every ping is answered, and an answer that the client doesn't take would be kept. So while the
    client takes nothing, nothing is read from it.
    """

    def handle_cont(self, event: Frame) -> None:
        """Take a further frame of a message, up to ``MAX_FRAMES``."""
        if len(self.frames) < MAX_FRAMES:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAMES} frames")
            self.handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """Deliver a message; close on text that isn't UTF-8, which uvicorn would log as an error.

        Checked here because a character may be split between two frames.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def pause_writing(self) -> None:
        """Stop reading too."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume reading, unless a message waits for the application."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message."""
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message.

        Raises:
            ClientDisconnected: the connection is closing, even if the application has not received
                the disconnect yet.
        """
        await self.writable.wait()
        if self.handshake_complete and self.close_sent:
            raise ClientDisconnected
        texts = cast(Iterable[str], message.get(TEXTS_BEFORE, ()))
        try:
            for text in texts:
                self.conn.send_text(text.encode())
        except InvalidState:
            raise ClientDisconnected from None
        await super().send(message)
