"""``metabonk.http.connection``: slow and vanished clients, over real sockets."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import Request, WebSocket, WebSocketDisconnect
from starlette.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from metabonk.http.app import make_http_app
from metabonk.http.connection import MAX_FRAMES, ConnectionLimits
from tests.support.serving import served
from tests.support.sockets import ended, vanish
from tests.support.waiting import GENEROUS_S, until

SHORT = ConnectionLimits(request_timeout_s=1.0, peer_timeout_s=2.0)
FEW_PENDING = ConnectionLimits(request_timeout_s=10 * GENEROUS_S, max_pending=5)
HOST = b"Host: localhost\r\n"
UPGRADE = (
    b"GET /socket HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SHORT_REQUEST = b"GET /short HTTP/1.1\r\n" + HOST + b"\r\n"


class Server:
    """An application that counts its clients."""

    def __init__(self) -> None:
        self.port = 0
        self.watching = 0
        self.bodies = 0
        self.app = make_http_app("test", max_body_bytes=1000)

        @self.app.get("/short")
        def short() -> str:
            return "short"

        @self.app.post("/body")
        async def body(request: Request) -> int:
            self.bodies += 1
            try:
                return len(await request.body())
            finally:
                self.bodies -= 1

        @self.app.get("/endless")
        async def endless(quiet: bool = False) -> StreamingResponse:
            return StreamingResponse(self._chunks(quiet))

        @self.app.websocket("/socket")
        async def listen(websocket: WebSocket) -> None:
            await websocket.accept()
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    await websocket.send_text(await websocket.receive_text())

    async def _chunks(self, quiet: bool) -> AsyncIterator[bytes]:
        self.watching += 1
        try:
            yield b"begin"
            while True:
                await asyncio.sleep(0.02)
                if not quiet:
                    yield bytes(16_384)
        finally:
            self.watching -= 1

    @contextlib.contextmanager
    def connection(self, data: bytes = b"") -> Iterator[socket.socket]:
        """Open a connection and send ``data``."""
        with socket.create_connection(("127.0.0.1", self.port), GENEROUS_S) as connection:
            connection.sendall(data)
            yield connection

    @contextlib.contextmanager
    def watcher(self, query: bytes = b"") -> Iterator[socket.socket]:
        """Open a connection on which the endless response has begun."""
        request = b"GET /endless" + query + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        with self.connection(request) as connection:
            await_text(connection, b"begin")
            assert self.watching == 1
            yield connection
        until("the response ends with its client", lambda: self.watching == 0)

    def websocket(self) -> ClientConnection:
        """Open a WebSocket that echoes text messages."""
        return connect(f"ws://127.0.0.1:{self.port}/socket", proxy=None, compression=None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    with served(running.app, limits=SHORT) as client:
        running.port = client.base_url.port or 0
        yield running


def await_text(connection: socket.socket, text: bytes) -> bytes:
    """Read until ``text`` arrives, and return everything read."""
    received = b""
    while text not in received:
        part = connection.recv(1 << 16)
        assert part, f"closed after {received!r}"
        received += part
    return received


def dribble(connection: socket.socket, text: bytes) -> bool:
    """Send byte by byte; True if the other end closes the connection before the last."""
    connection.settimeout(0.02)
    for byte in text:
        try:
            connection.send(bytes([byte]))
            if not connection.recv(1 << 16):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_a_client_that_sends_nothing_is_disconnected(server: Server):
    with server.connection() as connection:
        assert ended(connection)


def test_a_client_that_idles_after_a_response_is_disconnected(server: Server):
    with server.connection(SHORT_REQUEST) as connection:
        await_text(connection, b'"short"')
        assert ended(connection)


@pytest.mark.parametrize(
    "begin", [b"GET /short HTTP/1.1\r\nX: ", SHORT_REQUEST + b"GET /short HTTP/1.1\r\nX: "]
)
def test_a_head_that_comes_byte_by_byte_has_a_deadline(server: Server, begin: bytes):
    with server.connection(begin) as connection:
        assert dribble(connection, b"x" * 1000)


def test_a_body_that_comes_byte_by_byte_has_a_deadline(
    server: Server, caplog: pytest.LogCaptureFixture
):
    head = b"POST /body HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n"
    with caplog.at_level(logging.WARNING), server.connection(head) as connection:
        assert dribble(connection, b"x" * 999)
    until("its reader ends", lambda: server.bodies == 0)
    with server.connection(SHORT_REQUEST) as connection:
        await_text(connection, b'"short"')
    assert not caplog.records, "a slow client is not a server error"


def test_a_refused_body_is_not_drained_forever(server: Server):
    head = b"POST /body HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n"
    with server.connection(head) as connection:
        await_text(connection, b"413")
        assert dribble(connection, b"x" * 1000)


def test_an_endless_response_outlives_every_deadline(server: Server):
    with server.watcher() as watcher:
        deadline = time.monotonic() + 1.5 * SHORT.peer_timeout_s
        while time.monotonic() < deadline:
            assert watcher.recv(1 << 16)


def test_a_response_that_pauses_is_not_cut_off(server: Server):
    with server.watcher(b"?quiet=true") as watcher:
        watcher.settimeout(1.5 * SHORT.peer_timeout_s)
        with pytest.raises(TimeoutError):
            watcher.recv(1)
        assert server.watching == 1


@pytest.mark.parametrize("query", [b"", b"?quiet=true"])
def test_a_client_that_has_vanished_is_disconnected(server: Server, query: bytes):
    with server.watcher(query) as watcher:
        vanish(watcher)
        until("it is disconnected", lambda: server.watching == 0)


def test_a_client_that_reads_nothing_is_disconnected(server: Server):
    with server.watcher():
        until("it is disconnected", lambda: server.watching == 0)


def test_a_request_in_time_is_served_and_so_is_the_next(server: Server):
    body = b"POST /body HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\n"
    with server.connection(body) as connection:
        connection.sendall(b"abc" + SHORT_REQUEST)
        assert await_text(connection, b'"short"').count(b"200 OK") == 2


def test_with_too_many_pending_requests_the_oldest_is_evicted():
    server = Server()
    with served(server.app, limits=FEW_PENDING) as client, contextlib.ExitStack() as stack:
        server.port = client.base_url.port or 0
        waiting = [
            stack.enter_context(server.connection(b"GET")) for _ in range(FEW_PENDING.max_pending)
        ]
        with server.connection(SHORT_REQUEST) as another:
            await_text(another, b'"short"')
        assert ended(waiting[0])
        waiting[-1].sendall(SHORT_REQUEST.removeprefix(b"GET"))
        await_text(waiting[-1], b'"short"')


def test_a_websocket_has_no_deadline(server: Server):
    with server.websocket() as websocket:
        time.sleep(2 * SHORT.request_timeout_s)
        websocket.send("still here")
        assert websocket.recv(timeout=GENEROUS_S) == "still here"


def test_a_websocket_message_in_many_frames_is_refused(server: Server):
    # The client ends a message with one more frame, an empty one. Nothing may follow the frame that
    # is refused: unread data turns the server's close into a reset, which loses the close code.
    with server.websocket() as websocket:
        websocket.send(iter(["x"] * (MAX_FRAMES - 1)))
        assert websocket.recv(timeout=GENEROUS_S) == "x" * (MAX_FRAMES - 1)
    with server.websocket() as websocket:
        with pytest.raises(ConnectionClosed) as caught:
            websocket.send(iter(["x", *[""] * (MAX_FRAMES - 1)]))
            websocket.recv(timeout=GENEROUS_S)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


def test_websocket_text_that_is_not_utf8_is_refused_without_a_log_line(
    server: Server, caplog: pytest.LogCaptureFixture
):
    with server.websocket() as websocket:
        websocket.send("x")
        assert websocket.recv(timeout=GENEROUS_S) == "x"
        websocket.send(iter([b"\xc3", b"\xa9"]), text=True)
        assert websocket.recv(timeout=GENEROUS_S) == "é", "a character split in two"
        websocket.send(b"\xc1", text=True)
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=GENEROUS_S)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1007
    assert caplog.text == ""


def test_nothing_is_read_from_a_websocket_client_that_reads_nothing(server: Server):
    pings = (b"\x89\xfd" + bytes(4) + bytes(125)) * 500  # Masked with zeros (RFC 6455, 5.2).
    with server.connection(UPGRADE) as connection:
        await_text(connection, b"101")
        connection.settimeout(1.0)
        sent = 0
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                assert sent < 100_000_000, "every ping is answered, and the answers pile up"
                sent += connection.send(pings)
