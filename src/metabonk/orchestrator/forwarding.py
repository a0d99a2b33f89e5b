"""Unbuffered forwarding of HTTP responses and WebSockets to a viewer.

Data that a viewer doesn't read is not read from the server behind either, so that server sees a
slow viewer as slow.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import anyio
import httpx
from fastapi import WebSocket
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from metabonk.streaming.relay import (
    CLOSE_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    MAX_QUEUED_MESSAGES,
    OPEN_TIMEOUT_S,
    StreamAddress,
    close_code,
)


class ForwardedResponse(StreamingResponse):
    """A response, forwarded unbuffered and closed when the viewer leaves.

    Args:
        response: being received.
        headers: of it that the viewer gets.
    """

    def __init__(self, response: httpx.Response, headers: Mapping[str, str]) -> None:
        super().__init__(_body(response), response.status_code, headers)
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the response ends or the viewer leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()


async def pass_on(address: StreamAddress, viewer: WebSocket) -> None:
    """Join a stream for one viewer, and relay its messages as they are.

    Raises:
        OSError: it can't be joined; the viewer has not been accepted.
        TimeoutError: likewise.
        InvalidHandshake: likewise.
    """
    server = await connect(
        address.url,
        additional_headers=address.headers,
        proxy=None,
        compression=None,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=MAX_MESSAGE_BYTES,
        max_queue=MAX_QUEUED_MESSAGES,
    )
    async with server:
        await viewer.accept()
        await relay(server, viewer)


async def relay(server: ClientConnection, viewer: WebSocket) -> None:
    """Relay messages in both directions until either side leaves."""

    async def from_server() -> None:
        with contextlib.suppress(ConnectionClosed, WebSocketDisconnect):
            async for message in server:
                if isinstance(message, str):
                    await viewer.send_text(message)
                else:
                    await viewer.send_bytes(message)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await viewer.close(close_code(server), server.close_reason or "")

    async def from_viewer() -> None:
        with contextlib.suppress(ConnectionClosed):
            while (message := await viewer.receive())["type"] == "websocket.receive":
                text = message.get("text")
                await server.send(message["bytes"] if text is None else text)

    pumps = {asyncio.create_task(from_server()), asyncio.create_task(from_viewer())}
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in done:
            pump.result()
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _body(response: httpx.Response) -> AsyncIterator[bytes]:
    # To a player, a server that dies in mid-stream is the end of the stream.
    with contextlib.suppress(httpx.HTTPError):
        async for chunk in response.aiter_raw():
            yield chunk
