"""Every worker's stream and status through the page's port.

A stream is joined once for all its viewers (``relay``); everything else is forwarded, unbuffered.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Protocol, get_args
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response, WebSocket
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.websockets import WebSocketDisconnect

from metabonk.http.embed import STREAM_PATH
from metabonk.http.errors import error_response
from metabonk.messages.program import PROGRAM
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.forwarding import VIEWER_HEADER, WorkerClient, unreachable
from metabonk.orchestrator.gateway.stills import StillSender
from metabonk.orchestrator.program.routes import ProgramGate
from metabonk.streaming.http import MP4_DOC, TS_DOC, Container, Wait, live_response
from metabonk.streaming.relay import (
    RelayedResponse,
    Relays,
    StreamAddress,
    StreamUnreachable,
)
from metabonk.streaming.sdp import MAX_OFFER_BYTES
from metabonk.streaming.viewer import Audience
from metabonk.streaming.websocket import serve_viewer

Page = Annotated[
    str | None,
    Query(max_length=64, description="names the page: its viewer counts once for all its streams"),
]

Resource = Literal["status", "snapshot.jpg", "stream.mp4", "stream.ts", "clip.mp4", "clip.json"]


class _ResourceConvertor(StringConvertor):
    """Match these resources only: others have routes, and methods, of their own."""

    regex = "|".join(map(re.escape, get_args(Resource)))


register_url_convertor("worker_resource", _ResourceConvertor())


class NodeWhep(Protocol):
    """WebRTC for workers of nodes, see ``node_whep``."""

    def lifespan(self, app: FastAPI) -> contextlib.AbstractAsyncContextManager[None]:
        """End every connection when the server stops."""
        ...

    def response(
        self,
        name: str,
        address: StreamAddress,
        refuse: Callable[[StreamUnreachable], Response],
    ) -> Response:
        """Return the response to a request for ``/whep`` or below."""
        ...


class Gateway:
    """Proxy to the workers, for one event loop.

    Args:
        state: names the workers.
        make_node_whep: makes what serves WebRTC for workers of nodes; None on a single machine.
    """

    def __init__(
        self, state: FleetState, make_node_whep: Callable[[Relays], NodeWhep] | None = None
    ) -> None:
        self._state = state
        self._client = WorkerClient()
        self._relays = Relays()
        self._program = ProgramGate(state)
        self._node_whep = make_node_whep(self._relays) if make_node_whep is not None else None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections to the workers while the page is served."""
        async with self._client.lifespan(app):
            async with contextlib.AsyncExitStack() as parts:
                await parts.enter_async_context(self._program.lifespan(app))
                if self._node_whep is not None:
                    await parts.enter_async_context(self._node_whep.lifespan(app))
                yield
            await self._relays.close()

    def routes(self) -> APIRouter:
        """Return the routes of workers and of the program; include them before the page."""
        router = self._program.routes()

        @router.websocket("/api/worker/{instance_id}/stream")
        async def stream(
            websocket: WebSocket,
            instance_id: str,
            audience: Audience = "dedicated",
            saliency: bool = False,
            page: Page = None,
        ) -> None:
            """Relay the worker's stream; without video, stills to whoever has asked for them."""
            await self._watch(websocket, instance_id, audience, page, saliency=saliency)

        @router.websocket(STREAM_PATH)
        async def embedded(websocket: WebSocket, worker: str, page: Page = None) -> None:
            """Relay what a tile shows in a page elsewhere, whose viewers don't direct the fleet."""
            if worker == PROGRAM:
                await self._program.watch(websocket)
            else:
                await self._watch(websocket, worker, "broadcast", page, saliency=False)

        @router.get(
            "/api/worker/{instance_id}/stream.mp4", response_class=Response, responses=MP4_DOC
        )
        async def get_mp4(
            instance_id: str, audience: Audience = "dedicated", wait: Wait = None
        ) -> Response:
            """Relay the worker's stream as endless fragmented MP4."""
            return self._relayed(instance_id, "mp4", audience, wait)

        @router.get(
            "/api/worker/{instance_id}/stream.ts", response_class=Response, responses=TS_DOC
        )
        async def get_ts(
            instance_id: str, audience: Audience = "dedicated", wait: Wait = None
        ) -> Response:
            """Relay the worker's stream as endless MPEG-TS."""
            return self._relayed(instance_id, "ts", audience, wait)

        # One route per method, since one for several has a single operation id in OpenAPI.
        @router.head("/api/worker/{instance_id}/{resource:worker_resource}")
        @router.get("/api/worker/{instance_id}/{resource:worker_resource}")
        async def forward(instance_id: str, resource: Resource, request: Request) -> Response:
            """Forward the worker's ``/{resource}``."""
            return await self._forward(instance_id, resource, request)

        @router.head("/worker/{instance_id}/clip.mp4")
        @router.get("/worker/{instance_id}/clip.mp4")
        async def clip(instance_id: str, request: Request) -> Response:
            """Forward the worker's ``/clip.mp4``, at a short address to share."""
            return await self._forward(instance_id, "clip.mp4", request)

        @router.options("/whep")
        @router.post("/whep")
        async def offer(worker: str, request: Request) -> Response:
            """Forward a worker's or the program's ``/whep``: start a WebRTC connection."""
            if worker == PROGRAM:
                await self._program.authority()
            return await self._forward_offer(worker, "whep", request)

        @router.patch("/whep/{session}")
        @router.delete("/whep/{session}")
        async def session(session: str, worker: str, request: Request) -> Response:
            """Forward the worker's ``/whep/{session}``, as named by its ``Location``."""
            return await self._forward_offer(worker, f"whep/{quote(session, safe='')}", request)

        return router

    async def _forward_offer(self, instance_id: str, path: str, request: Request) -> Response:
        """Forward a request with its body, which is small or refused, in one piece.

        The peer of a worker on a node is this process.
        """
        if self._node_whep is not None and self._address(instance_id).node is not None:
            return self._node_whep.response(
                instance_id,
                self._stream(instance_id),
                lambda error: unreachable(instance_id, error),
            )
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
        address = self._address(instance_id)
        return await self._client.forward(instance_id, address, path, request, headers, body)

    async def _watch(
        self,
        viewer: WebSocket,
        instance_id: str,
        audience: Audience,
        page: str | None,
        *,
        saliency: bool,
    ) -> None:
        try:
            address = self._stream(instance_id)
        except HTTPException as error:
            error_name = "not_found" if error.status_code == 404 else "no_node"
            denial = error_response(error.status_code, error_name, error.detail)
            await viewer.send_denial_response(denial)
            return
        try:
            async with self._relays.join(address) as relay:
                await viewer.accept()
                stills = StillSender(viewer, relay.fanout, relay.stills.newest)
                with (
                    relay.fanout.join(audience == "dedicated", saliency=saliency) as joined,
                    self._state.viewers.watching(instance_id, page or str(id(viewer))),
                    stills,
                ):
                    await serve_viewer(viewer, joined, relay.policy, stills.take)
                # Fails if it is the viewer who has left.
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await viewer.close(relay.close_code, relay.close_reason)
        except StreamUnreachable as error:
            await viewer.send_denial_response(unreachable(instance_id, error))

    def _relayed(
        self, instance_id: str, container: Container, audience: Audience, wait: bool | None
    ) -> Response:
        # Not without a limit, since viewers may be on other machines.
        wait = None if wait else wait
        enabled = self._state.settings.stream.enabled
        return RelayedResponse(
            self._relays,
            self._stream(instance_id),
            lambda fanout: live_response(fanout, container, audience, wait, enabled=enabled),
            lambda error: unreachable(instance_id, error),
        )

    def _stream(self, instance_id: str) -> StreamAddress:
        """Return the address of a worker's stream, for a relay."""
        address = self._address(instance_id)
        return StreamAddress(f"{address.stream}?relay=true", address.headers)

    def _address(self, instance_id: str) -> WorkerAddress:
        """Return a worker's address, as the roster has it, or the program's.

        Raises:
            HTTPException: 404 if the fleet has no such worker, 503 while it waits for a node.
        """
        if instance_id == PROGRAM and (port := self._state.program.port) is not None:
            return WorkerAddress(f"http://{self._state.settings.internal_authority(port)}")
        roster = self._state.roster
        if (member := roster.find(instance_id)) is None:
            raise HTTPException(404, roster.absence(instance_id))
        if member.address is None:
            raise HTTPException(503, f"{instance_id} waits for a node that plays it")
        return member.address
