"""Every worker's stream and status through the page's port.

Nothing is buffered: what a viewer doesn't take isn't read from the worker either, and so the worker
sees a slow viewer as slow and drops its groups, as for a viewer of its own.
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
from metabonk.orchestrator.fleet import FleetState
from metabonk.streaming.sdp import MAX_OFFER_BYTES

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
"""Longer than a worker waits for its first keyframe."""

SILENCE_S = 30.0
"""A stream that delivers nothing for this long has ended, whatever its connection says."""

LARGEST_MESSAGE = 16 << 20
QUEUED_MESSAGES = 4
PASSED_ON = (
    *("content-type", "content-length", "cache-control", "etag", "retry-after"),
    *("location", "accept-post", "allow"),
)

VIEWER_HEADER = "X-Forwarded-For"
"""Tells the worker whose connection it is to make."""

Resource = Literal["status", "snapshot.jpg", "stream.mp4", "stream.ts"]


class Gateway:
    """The way to the workers; used in one event loop.

    Args:
        state: knows the workers and their ports.
    """

    def __init__(self, state: FleetState) -> None:
        self._state = state
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Holds the connections to the workers while the page is served."""
        # Not trust_env: a proxy for the internet is none for this machine.
        async with httpx.AsyncClient(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_TIMEOUT_S),
        ) as self._client:
            yield

    def routes(self) -> APIRouter:
        """``/api/worker/{instance_id}/…`` and ``/whep``, to be included before the page."""
        router = APIRouter()

        # A route for each method: one for several has one operation id for all of them in OpenAPI.
        # The lowest is the first, and says to other methods what is allowed.
        @router.head("/api/worker/{instance_id}/{resource}")
        @router.get("/api/worker/{instance_id}/{resource}")
        async def forward(instance_id: str, resource: Resource, request: Request) -> Response:
            """The worker's own ``/{resource}``."""
            return await self._forward(instance_id, resource, request)

        @router.options("/whep")
        @router.post("/whep")
        async def offer(worker: str, request: Request) -> Response:
            """The worker's own ``/whep``: begins to watch over WebRTC."""
            return await self._pass_on(worker, "whep", request)

        @router.patch("/whep/{session}", include_in_schema=False)
        @router.delete("/whep/{session}")
        async def session(session: str, worker: str, request: Request) -> Response:
            """The worker's own ``/whep/{session}``, as its ``Location`` said."""
            return await self._pass_on(worker, f"whep/{quote(session, safe='')}", request)

        @router.websocket("/api/worker/{instance_id}/stream")
        async def relay(websocket: WebSocket, instance_id: str) -> None:
            """The worker's own WebSocket."""
            await self._relay(websocket, instance_id)

        return router

    async def _pass_on(self, instance_id: str, path: str, request: Request) -> Response:
        """A request with a body, which is held here: it is small, or refused."""
        size = int(request.headers.get("content-length", 0))
        if size > MAX_OFFER_BYTES:
            why = f"the offer has {size} bytes; at most {MAX_OFFER_BYTES} are accepted"
            return error_response(413, "too_large", why)
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
        # The viewer's own headers stay here, but for what changes the worker's answer.
        asked = self._client.build_request(
            request.method,
            f"http://{self._authority(instance_id)}/{path}",
            params=request.query_params,
            headers={"Accept-Encoding": "identity", **headers},
            content=body,
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._client.send(asked, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            return _gone(instance_id, error)
        return _Forwarded(answer)

    async def _relay(self, viewer: WebSocket, instance_id: str) -> None:
        try:
            authority = self._authority(instance_id)
        except HTTPException as error:
            refusal = error_response(error.status_code, "not_found", error.detail)
            await viewer.send_denial_response(refusal)
            return
        query = f"?{viewer.url.query}" if viewer.url.query else ""
        try:
            worker = await connect(
                f"ws://{authority}/stream{query}",
                proxy=None,
                compression=None,
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CONNECT_TIMEOUT_S,
                max_size=LARGEST_MESSAGE,
                max_queue=QUEUED_MESSAGES,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await viewer.send_denial_response(_gone(instance_id, error))
            return
        async with worker:
            await viewer.accept()
            await _pump(worker, viewer)

    def _authority(self, instance_id: str) -> str:
        """Host and port of a worker: from the settings, never from what a heartbeat says.

        Raises:
            HTTPException: 404 for a worker that the fleet does not have.
        """
        if not self._state.knows(instance_id):
            count = self._state.settings.workers
            raise HTTPException(404, f"there is no worker {instance_id}; this fleet has {count}")
        settings = self._state.settings
        port = settings.worker_port(int(instance_id.removeprefix("omega-")))
        return settings.internal_authority(port)


class _Forwarded(StreamingResponse):
    """A worker's answer, passed on as it comes, and closed however the viewer leaves."""

    def __init__(self, answer: httpx.Response) -> None:
        headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
        super().__init__(_bytes_of(answer), answer.status_code, headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()


async def _bytes_of(answer: httpx.Response) -> AsyncIterator[bytes]:
    # A worker that dies ends the stream early, which a player takes as its end.
    with contextlib.suppress(httpx.HTTPError):
        async for chunk in answer.aiter_raw():
            yield chunk


async def _pump(worker: ClientConnection, viewer: WebSocket) -> None:
    """Passes messages on in both directions until either side leaves."""

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
    """The worker's own code; one that only says that there was none may not be sent (RFC 6455)."""
    code = worker.close_code
    return 1011 if code is None or code in (1005, 1006, 1015) else code


def _gone(instance_id: str, error: Exception) -> Response:
    why = str(error) or type(error).__name__
    return error_response(
        502,
        "worker_unreachable",
        f"{instance_id} does not answer ({why}); it is starting, or has died and is started again",
        {"Retry-After": "1"},
    )
