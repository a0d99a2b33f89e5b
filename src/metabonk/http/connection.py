"""Connections that end when their client is too slow, has vanished or floods them.

uvicorn gives up a connection that idles after an answer, and no other: a client that sends a byte
of its request a second, or none at all, holds one for ever. So a request has to be whole within
``ConnectionLimits.request_s``, and so many connections may be without one. What is being answered
is never cut off, however long the answer is; a client that no longer takes any of it is given up by the
kernel.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

MOST_FRAMES = 64
"""Of one WebSocket message. Empty ones count for nothing where only bytes are limited."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a server puts up with.

    Attributes:
        request_s: for a whole request, from the connection or the answer before it.
        vanished_s: for a client to take, or to acknowledge, anything that is sent to it.
        waiting: connections without a whole request; the oldest makes room. A process may usually
            have 1024 descriptors.
    """

    request_s: float = 20.0
    vanished_s: float = 60.0
    waiting: int = 256

    def on(self, listener: socket.socket) -> None:
        """Has the kernel give up vanished clients of every connection that is accepted here.

        ``TCP_USER_TIMEOUT`` ends one that leaves data unacknowledged or its window closed (tcp(7));
        keepalive sends something where nothing is being sent. Accepted sockets inherit both.
        """
        tcp = socket.IPPROTO_TCP
        listener.setsockopt(tcp, socket.TCP_USER_TIMEOUT, round(self.vanished_s * 1000))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(tcp, socket.TCP_KEEPIDLE, max(1, round(self.vanished_s / 2)))
        listener.setsockopt(tcp, socket.TCP_KEEPINTVL, max(1, round(self.vanished_s / 6)))


class PendingRequests:
    """The connections that have not sent a whole request, the oldest first.

    Args:
        patience: how long and how many.
    """

    def __init__(self, patience: ConnectionLimits) -> None:
        self._patience = patience
        self._deadlines: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def enter(self, connection: asyncio.Transport) -> None:
        """A request is waited for; one that waits already keeps its deadline."""
        if connection in self._deadlines:
            return
        loop = asyncio.get_running_loop()
        self._deadlines[connection] = loop.call_later(
            self._patience.request_s, self._show_out, connection
        )
        if len(self) > self._patience.waiting:
            self._show_out(next(iter(self._deadlines)))

    def leave(self, connection: asyncio.Transport) -> None:
        """The request is whole, or the connection is over; may be repeated."""
        if deadline := self._deadlines.pop(connection, None):
            deadline.cancel()

    def _show_out(self, connection: asyncio.Transport) -> None:
        self.leave(connection)
        # Not close(): that would wait until the client has taken what was sent.
        connection.abort()


class HttpConnection(H11Protocol):
    """HTTP/1.1 with a deadline for every request.

    Args:
        room: where it waits for one.
        uvicorn: what uvicorn gives to each of its protocols.
    """

    def __init__(self, room: PendingRequests, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._room = room

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait."""
        super().connection_made(transport)
        self._room.enter(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        self._room.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request, which may be its last."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP. Where a body is not, its reader is there already, and leaves."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection over: pings take care of it from here on."""
        self._room.leave(self.transport)
        super().handle_websocket_upgrade(event)

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:
            return
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._room.enter(self.transport)
        else:
            self._room.leave(self.transport)


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that holds a bounded part of a message, and answers nobody who does not read.

    Every ping is answered, and an answer that is not taken would be kept. So while a client takes
    nothing, nothing is taken of it.
    """

    def handle_cont(self, event: Frame) -> None:
        """Takes a further frame of a message, if there are not too many."""
        if len(self.frames) < MOST_FRAMES:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MOST_FRAMES} frames")
            self.handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """Hands a message over; a text that is none ends the connection, without a fuss."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(CloseCode.INVALID_DATA, "a text that is not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def pause_writing(self) -> None:
        """Stops reading too."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Reads on, unless a message waits for the application."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message."""
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Sends it; an application that was not told yet that the connection closes is told.

        Raises:
            ClientDisconnected: nobody is there.
        """
        await self.writable.wait()
        if self.handshake_complete and self.close_sent:
            raise ClientDisconnected
        await super().send(message)
