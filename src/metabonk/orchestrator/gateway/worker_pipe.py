"""Workers by name under one port: requests and streams pass as they are.

On a node it is the head's way to workers, and on the head that of programs of its own machine to
workers of nodes. A stream that is watched has one connection on each part of the way.
"""

import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, WebSocket
from websockets.exceptions import InvalidHandshake

from metabonk.http.errors import error_response
from metabonk.messages.nodes import WORKERS_PATH
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.gateway.forwarding import (
    VIEWER_HEADER,
    WorkerClient,
    pass_on,
    unreachable,
)
from metabonk.streaming.http import Wait, live_response
from metabonk.streaming.relay import RelayedResponse, Relays, StreamAddress
from metabonk.streaming.viewer import Audience

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
        self._client = WorkerClient()
        self._relays = Relays()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections to the workers."""
        async with self._client.lifespan(app):
            yield
            await self._relays.close()

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
            kept = {
                each: request.headers[each] for each in PASSED_HEADERS if each in request.headers
            }
            body = await request.body() or None
            return await self._client.forward(name, self.address(name), path, request, kept, body)

        return router

    def ts_routes(self, *, enabled: bool) -> APIRouter:
        """Return the route of streams as MPEG-TS, which is made here; include it before the others.

        Args:
            enabled: False if the user has disabled streams.
        """
        router = APIRouter(include_in_schema=False)

        @router.get(f"{WORKERS_PATH}/{{name}}/stream.ts")
        async def get_ts(
            name: str, audience: Audience = "dedicated", wait: Wait = None
        ) -> Response:
            """Relay a worker's stream as endless MPEG-TS; it may be waited for without a limit."""
            address = self.address(name)
            return RelayedResponse(
                self._relays,
                StreamAddress(f"{address.stream}?relay=true", address.headers),
                lambda fanout: live_response(fanout, "ts", audience, wait, enabled=enabled),
                lambda error: unreachable(name, error),
            )

        return router

    def address(self, name: str) -> WorkerAddress:
        """Return the address of a worker.

        Raises:
            HTTPException: 404 if it is not reached this way.
        """
        if (address := self._find(name)) is None:
            raise HTTPException(404, f"this node does not play {name}")
        return address

    async def _pass_on(self, viewer: WebSocket, name: str) -> None:
        try:
            address = self.address(name)
            stream = StreamAddress(f"{address.stream}?{viewer.url.query}", address.headers)
            await pass_on(stream, viewer)
        except HTTPException as error:
            await viewer.send_denial_response(error_response(404, "not_found", error.detail))
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await viewer.send_denial_response(unreachable(name, error))
