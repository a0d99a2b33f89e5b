"""Unbuffered forwarding of HTTP responses and WebSockets to a viewer.

Data that a viewer doesn't read is not read from the server behind either, so that server sees a
slow viewer as slow.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import anyio
import httpx
from fastapi import FastAPI, Request, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from metabonk.http.errors import error_response
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.streaming.relay import (
    CLOSE_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    MAX_QUEUED_MESSAGES,
    OPEN_TIMEOUT_S,
    StreamAddress,
    close_code,
)

CONNECT_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 10.0
"""Longer than a worker waits for a stream's first keyframe."""

READ_TIMEOUT_S = 30.0
"""A response that delivers nothing for this long has ended."""

FORWARDED_HEADERS = (
    *("content-type", "content-length", "cache-control", "etag", "retry-after"),
    *("location", "accept-post", "accept-patch", "allow"),
    *("content-disposition", "x-clip-begins-at", "x-clip-age"),
)
"""Headers of a worker's response that its viewer gets."""

VIEWER_HEADER = "X-Forwarded-For"
"""Names the viewer that a WebRTC connection is for."""


class WorkerClient:
    """Client of the workers' HTTP servers, for one event loop."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        """Client of any route of a worker."""
        assert self._client is not None, "served within its lifespan"
        return self._client

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections to the workers."""
        # Not trust_env: a proxy for the internet does not serve this machine.
        async with httpx.AsyncClient(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        ) as self._client:
            yield

    async def forward(
        self,
        name: str,
        address: WorkerAddress,
        path: str,
        request: Request,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes | None = None,
    ) -> Response:
        """Return a worker's response to a request, or why there is none.

        Args:
            name: of the worker.
            address: of the worker.
            path: of its route, without the slash.
            request: of the viewer.
            headers: sent with it; the viewer's own are not, as its access token is among them.
            body: sent with it.
        """
        forwarded = self.http.build_request(
            request.method,
            f"{address.url}/{path}",
            params=request.query_params,
            headers={"Accept-Encoding": "identity", **headers, **dict(address.headers)},
            content=body,
        )
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = await self.http.send(forwarded, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            return unreachable(name, error)
        kept = (each for each in FORWARDED_HEADERS if each in response.headers)
        return ForwardedResponse(response, {each: response.headers[each] for each in kept})


def unreachable(name: str, error: Exception) -> Response:
    """Return the response for a worker that does not answer."""
    reason = str(error) or type(error).__name__
    return error_response(
        502,
        "worker_unreachable",
        f"{name} does not answer ({reason}); it is starting, or restarting after a crash",
        {"Retry-After": "1"},
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
