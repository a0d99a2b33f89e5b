"""Every worker's stream and status through the page's port.

Nothing is buffered: data that a viewer doesn't read is not read from the worker either, so the
worker sees a slow viewer as slow and drops groups, as for a direct viewer.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

import anyio
import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, WebSocket
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from metabonk.http.errors import error_response
from metabonk.messages import worker_index
from metabonk.orchestrator.fleet import FleetState
from metabonk.streaming.sdp import MAX_OFFER_BYTES

CONNECT_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 10.0
"""Longer than a worker waits for a stream's first keyframe."""

READ_TIMEOUT_S = 30.0
"""A stream that delivers nothing for this long has ended."""

MAX_MESSAGE_BYTES = 16 << 20
MAX_QUEUED_MESSAGES = 4
FORWARDED_HEADERS = (
    *("content-type", "content-length", "cache-control", "etag", "retry-after"),
    *("location", "accept-post", "allow"),
)

VIEWER_HEADER = "X-Forwarded-For"
"""Names the viewer that a WebRTC connection is for."""

Resource = Literal["status", "snapshot.jpg", "stream.mp4", "stream.ts"]


class Gateway:
    """Proxy to the workers, for one event loop.

    Args:
        state: names the workers.
    """

    def __init__(self, state: FleetState) -> None:
        self._state = state
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections to the workers while the page is served."""
        # Not trust_env: a proxy for the internet does not serve this machine.
        async with httpx.AsyncClient(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        ) as self._client:
            yield

    def routes(self) -> APIRouter:
        """Return ``/api/worker/{instance_id}/…`` and ``/whep``; include them before the page."""
        router = APIRouter()

        # One route per method, since one for several has a single operation id in OpenAPI.
        # The bottom one comes first and tells other methods what is allowed.
        @router.head("/api/worker/{instance_id}/{resource}")
        @router.get("/api/worker/{instance_id}/{resource}")
        async def forward(instance_id: str, resource: Resource, request: Request) -> Response:
            """Forward the worker's ``/{resource}``."""
            return await self._forward(instance_id, resource, request)

        @router.options("/whep")
        @router.post("/whep")
        async def offer(worker: str, request: Request) -> Response:
            """Forward the worker's ``/whep``: start a WebRTC connection."""
            return await self._forward_offer(worker, "whep", request)

        @router.patch("/whep/{session}", include_in_schema=False)
        @router.delete("/whep/{session}")
        async def session(session: str, worker: str, request: Request) -> Response:
            """Forward the worker's ``/whep/{session}``, as named by its ``Location``."""
            return await self._forward_offer(worker, f"whep/{quote(session, safe='')}", request)

        @router.websocket("/api/worker/{instance_id}/stream")
        async def relay(websocket: WebSocket, instance_id: str) -> None:
            """Relay the worker's WebSocket."""
            await self._relay(websocket, instance_id)

        return router

    async def _forward_offer(self, instance_id: str, path: str, request: Request) -> Response:
        """Forward a request with its body, which is small or refused, in one piece."""
        size = int(request.headers.get("content-length", 0))
        if size > MAX_OFFER_BYTES:
            reason = f"the offer has {size} bytes; at most {MAX_OFFER_BYTES} are accepted"
            return error_response(413, "too_large", reason)
        assert request.client is not None, "served over TCP"
        headers = {VIEWER_HEADER: request.client.host}
        if kind := request.headers.get("content-type"):
            headers["Content-Type"] = kind
        return await self._forward(instance_id, path, request, headers, await request.body())

    async def _forward(
        self,
        instance_id: str,
        path: str,
        request: Request,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes | None = None,
    ) -> Response:
        assert self._client is not None, "served within its lifespan"
        # The viewer's headers are not forwarded: the access token is among them.
        forwarded = self._client.build_request(
            request.method,
            f"http://{self._authority(instance_id)}/{path}",
            params=request.query_params,
            headers={"Accept-Encoding": "identity", **headers},
            content=body,
        )
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = await self._client.send(forwarded, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            return _unreachable(instance_id, error)
        return _ForwardedResponse(response)

    async def _relay(self, viewer: WebSocket, instance_id: str) -> None:
        try:
            authority = self._authority(instance_id)
        except HTTPException as error:
            denial = error_response(error.status_code, "not_found", error.detail)
            await viewer.send_denial_response(denial)
            return
        query = f"?{viewer.url.query}" if viewer.url.query else ""
        try:
            worker = await connect(
                f"ws://{authority}/stream{query}",
                proxy=None,
                compression=None,
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CONNECT_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUED_MESSAGES,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await viewer.send_denial_response(_unreachable(instance_id, error))
            return
        async with worker:
            await viewer.accept()
            await _pump(worker, viewer)

    def _authority(self, instance_id: str) -> str:
        """Return a worker's host and port: from the settings, never from a heartbeat.

        Raises:
            HTTPException: 404 if the fleet has no such worker.
        """
        if not self._state.knows(instance_id):
            count = self._state.settings.workers
            raise HTTPException(404, f"there is no worker {instance_id}; the fleet has {count}")
        settings = self._state.settings
        port = settings.worker_port(worker_index(instance_id))
        return settings.internal_authority(port)


class _ForwardedResponse(StreamingResponse):
    """A worker's response, forwarded unbuffered and closed when the viewer leaves."""

    def __init__(self, response: httpx.Response) -> None:
        headers = response.headers
        kept = {name: headers[name] for name in FORWARDED_HEADERS if name in headers}
        super().__init__(_body(response), response.status_code, kept)
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()


async def _body(response: httpx.Response) -> AsyncIterator[bytes]:
    # To a player, a worker that dies in mid-stream is the end of the stream.
    with contextlib.suppress(httpx.HTTPError):
        async for chunk in response.aiter_raw():
            yield chunk


async def _pump(worker: ClientConnection, viewer: WebSocket) -> None:
    """Relay messages in both directions until either side leaves."""

    async def from_worker() -> None:
        with contextlib.suppress(ConnectionClosed, WebSocketDisconnect):
            async for message in worker:
                if isinstance(message, str):
                    await viewer.send_text(message)
                else:
                    await viewer.send_bytes(message)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await viewer.close(_close_code(worker), worker.close_reason or "")

    async def from_viewer() -> None:
        with contextlib.suppress(ConnectionClosed):
            while (message := await viewer.receive())["type"] == "websocket.receive":
                text = message.get("text")
                await worker.send(message["bytes"] if text is None else text)

    pumps = {asyncio.create_task(from_worker()), asyncio.create_task(from_viewer())}
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in done:
            pump.result()
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _close_code(worker: ClientConnection) -> int:
    """Return the worker's close code; the reserved ones must not be sent (RFC 6455, 7.4.1)."""
    code = worker.close_code
    return 1011 if code is None or code in (1005, 1006, 1015) else code


def _unreachable(instance_id: str, error: Exception) -> Response:
    reason = str(error) or type(error).__name__
    return error_response(
        502,
        "worker_unreachable",
        f"{instance_id} does not answer ({reason}); it is starting, or restarting after a crash",
        {"Retry-After": "1"},
    )
