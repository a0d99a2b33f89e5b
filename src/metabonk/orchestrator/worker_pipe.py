"""Workers by name under one port: requests and streams pass as they are.

On a node it is the head's way to workers, and on the head that of programs of its own machine to
workers of nodes. A stream that is watched has one connection on each part of the way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, WebSocket
from websockets.exceptions import InvalidHandshake

from metabonk.http.errors import error_response
from metabonk.node_messages import WORKERS_PATH
from metabonk.orchestrator.forwarding import ForwardedResponse, pass_on
from metabonk.orchestrator.gateway import (
    CONNECT_TIMEOUT_S,
    FORWARDED_HEADERS,
    READ_TIMEOUT_S,
    RESPONSE_TIMEOUT_S,
    VIEWER_HEADER,
    unreachable,
)
from metabonk.orchestrator.roster import WorkerAddress
from metabonk.streaming.relay import StreamAddress

METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]
PASSED_HEADERS = ("content-type", VIEWER_HEADER.lower())
"""Headers of requests that are passed on; the token is none of them."""


class WorkerPipe:
    """The routes, for one event loop.

    Args:
        find: returns a worker's address, or None if it is not reached this way.
    """

    def __init__(self, find: Callable[[str], WorkerAddress | None]) -> None:
        self._find = find
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections to the workers."""
        async with httpx.AsyncClient(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        ) as self._client:
            yield

    def routes(self) -> APIRouter:
        """Return the routes; include them after those that go before them."""
        router, worker = APIRouter(include_in_schema=False), f"{WORKERS_PATH}/{{name}}"

        @router.websocket(f"{worker}/stream")
        async def stream(socket: WebSocket, name: str) -> None:
            """Pass a worker's stream on."""
            await self._pass_on(socket, name)

        @router.api_route(f"{worker}/{{path:path}}", methods=METHODS)
        async def forward(name: str, path: str, request: Request) -> Response:
            """Pass a request on to a worker."""
            return await self._forward(name, path, request)

        return router

    def address(self, name: str) -> WorkerAddress:
        """Return the address of a worker.

        Raises:
            HTTPException: 404 if it is not reached this way.
        """
        if (address := self._find(name)) is None:
            raise HTTPException(404, f"this node does not play {name}")
        return address

    async def _forward(self, name: str, path: str, request: Request) -> Response:
        assert self._client is not None, "served within its lifespan"
        address = self.address(name)
        kept = {each: request.headers[each] for each in PASSED_HEADERS if each in request.headers}
        forwarded = self._client.build_request(
            request.method,
            f"{address.url}/{path}",
            params=request.query_params,
            headers={"Accept-Encoding": "identity", **kept, **dict(address.headers)},
            content=await request.body() or None,
        )
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = await self._client.send(forwarded, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            return unreachable(name, error)
        answered = (each for each in FORWARDED_HEADERS if each in response.headers)
        return ForwardedResponse(response, {each: response.headers[each] for each in answered})

    async def _pass_on(self, viewer: WebSocket, name: str) -> None:
        try:
            address = self.address(name)
            stream = StreamAddress(f"{address.stream}?{viewer.url.query}", address.headers)
            await pass_on(stream, viewer)
        except HTTPException as error:
            await viewer.send_denial_response(error_response(404, "not_found", error.detail))
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await viewer.send_denial_response(unreachable(name, error))
