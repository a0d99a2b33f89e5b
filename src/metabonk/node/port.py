"""A node's one port: the way of the head to the node's workers, under the nodes' token.

Requests and streams pass as they are. So a stream that is watched has one connection between the
machines and one on the node, whoever watches it on the head.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse
from websockets.exceptions import InvalidHandshake

from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.messages import LogTail
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
from metabonk.orchestrator.roster import Roster, WorkerAddress
from metabonk.streaming.relay import StreamAddress
from metabonk.system.log_files import read_log

MAX_LOG_BYTES = 256 << 10
PASSED_HEADERS = ("content-type", VIEWER_HEADER.lower())
"""Of requests; the token is none of them."""

Lines = Annotated[int, Query(ge=1, le=5_000)]


class NodePort:
    """Application of the node's port.

    Args:
        agent: random, of this process; tells the head that it has reached it.
        token: required of every request.

    Attributes:
        app: for the head.
    """

    def __init__(self, agent: str, token: str) -> None:
        self._roster: Roster | None = None
        self._logs = Path()
        self._client: httpx.AsyncClient | None = None
        self.app = make_http_app("MetaBonk node", lifespan=self._lifespan, token=token)
        self._add_routes(agent)

    def show(self, roster: Roster | None, logs: Path) -> None:
        """Lead to these workers from now on; None: to none.

        Args:
            roster: of the workers.
            logs: folder of their logs.
        """
        self._roster, self._logs = roster, logs

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        ) as self._client:
            yield

    def _add_routes(self, agent: str) -> None:
        app, worker = self.app, f"{WORKERS_PATH}/{{name}}"

        @app.get("/agent", response_class=PlainTextResponse)
        def get_agent() -> str:
            """Tell which agent answers."""
            return agent

        @app.get(f"{worker}/log")
        def get_log(name: str, lines: Lines = 200) -> LogTail:
            """End of a worker's log."""
            self._address(name)
            text = read_log(self._logs / f"{name}.log", MAX_LOG_BYTES)
            return LogTail(lines=text.splitlines()[-lines:])

        @app.websocket(f"{worker}/stream")
        async def stream(socket: WebSocket, name: str) -> None:
            """Pass a worker's stream on."""
            await self._pass_on(socket, name)

        @app.api_route(
            f"{worker}/{{path:path}}", methods=["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]
        )
        async def forward(name: str, path: str, request: Request) -> Response:
            """Pass a request on to a worker."""
            return await self._forward(name, path, request)

    async def _forward(self, name: str, path: str, request: Request) -> Response:
        assert self._client is not None, "served within its lifespan"
        kept = (each for each in PASSED_HEADERS if each in request.headers)
        forwarded = self._client.build_request(
            request.method,
            f"{self._address(name).url}/{path}",
            params=request.query_params,
            headers={
                "Accept-Encoding": "identity",
                **{each: request.headers[each] for each in kept},
            },
            content=await request.body() or None,
        )
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                response = await self._client.send(forwarded, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            return unreachable(name, error)
        answered = (each for each in FORWARDED_HEADERS if each in response.headers)
        return ForwardedResponse(response, {each: response.headers[each] for each in answered})

    async def _pass_on(self, head: WebSocket, name: str) -> None:
        try:
            address = self._address(name)
        except HTTPException as error:
            await head.send_denial_response(error_response(404, "not_found", error.detail))
            return
        try:
            await pass_on(StreamAddress(f"{address.stream}?{head.url.query}"), head)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await head.send_denial_response(unreachable(name, error))

    def _address(self, name: str) -> WorkerAddress:
        """Return the address of a worker of this node.

        Raises:
            HTTPException: 404 if it has no such worker.
        """
        member = None if self._roster is None else self._roster.find(name)
        if member is None or member.address is None:
            raise HTTPException(404, f"this node does not play {name}")
        return member.address
