"""HTTP routes of the program: its running order for its process, and its streams for viewers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, HTTPException, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from metabonk.http.errors import error_response
from metabonk.messages.program import PROGRAM, ProgramPin, ProgramSource, RunningOrder
from metabonk.orchestrator.fleet.roster import Member
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.program.process import in_order, is_hardware
from metabonk.streaming.http import (
    CONTAINERS,
    MP4_DOC,
    NO_STORE,
    TS_DOC,
    Container,
    Wait,
    live_response,
)
from metabonk.streaming.relay import (
    RelayedResponse,
    Relays,
    StreamAddress,
    StreamUnreachable,
)
from metabonk.streaming.websocket import serve_viewer

START_TIMEOUT_S = 8.0
"""For its process; less than restreamers wait for an answer."""

START_POLL_S = 0.05


class ProgramGate:
    """The way of viewers to the program's process, for one event loop.

    Args:
        state: of the fleet.
    """

    def __init__(self, state: FleetState) -> None:
        self._state = state
        self._relays = Relays()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Leave the program when the server stops."""
        yield
        await self._relays.close()

    async def authority(self) -> str:
        """Return the host and port of the process, started if need be.

        Raises:
            HTTPException: 503 if it does not start.
        """
        program = self._state.program
        program.want()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if (port := program.port) is not None and await self._listens(port):
                return self._state.settings.internal_authority(port)
            await asyncio.sleep(START_POLL_S)
        raise HTTPException(503, f"the program does not start; see logs/{PROGRAM}.log")

    def routes(self) -> APIRouter:
        """Return ``/program.ts`` and ``/program.mp4``."""
        router = APIRouter(tags=["program"])

        @router.get("/program.mp4", response_class=Response, responses=MP4_DOC)
        async def get_mp4(wait: Wait = None) -> Response:
            """Endless fragmented MP4 of the program, H.264."""
            return await self._stream("mp4", wait)

        @router.get("/program.ts", response_class=Response, responses=TS_DOC)
        async def get_ts(wait: Wait = None) -> Response:
            """Endless MPEG-TS of the program, H.264, for players and restreamers."""
            return await self._stream("ts", wait)

        @router.websocket("/program/stream")
        async def stream(viewer: WebSocket) -> None:
            """Relay the program, for programs of this machine."""
            await self.watch(viewer)

        @router.head("/program.mp4", response_class=Response)
        def head_mp4() -> Response:
            """Tell the type; the program is always on."""
            return _head("mp4")

        @router.head("/program.ts", response_class=Response)
        def head_ts() -> Response:
            """Tell the type; the program is always on."""
            return _head("ts")

        return router

    async def watch(self, viewer: WebSocket) -> None:
        """Relay the program to a viewer until it leaves."""
        try:
            address = self._address(await self.authority())
            async with self._relays.join(address) as relay:
                await viewer.accept()
                with relay.fanout.join(dedicated=False) as joined:
                    await serve_viewer(viewer, joined, relay.policy)
                # Fails if it is the viewer who has left.
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await viewer.close(relay.close_code, relay.close_reason)
        except HTTPException as error:
            denial = error_response(error.status_code, "program_unreachable", error.detail)
            await viewer.send_denial_response(denial)
        except StreamUnreachable as error:
            await viewer.send_denial_response(_unreachable(error))

    def _address(self, authority: str) -> StreamAddress:
        return StreamAddress(f"ws://{authority}/stream?relay=true")

    async def _listens(self, port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._state.settings.internal_host, port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _stream(self, container: Container, wait: bool | None) -> Response:
        authority = await self.authority()
        enabled = self._state.settings.stream.enabled
        return RelayedResponse(
            self._relays,
            self._address(authority),
            lambda fanout: live_response(
                fanout, container, "broadcast", None if wait else wait, enabled=enabled
            ),
            _unreachable,
        )


def order_routes(state: FleetState) -> APIRouter:
    """Return the route that the program's process asks; not for other machines."""
    router = APIRouter(tags=["program"])

    @router.get("/api/program/order")
    def get_order() -> RunningOrder:
        """Workers that the program may show, with their addresses."""
        return running_order(state, time.time())

    return router


def pin_routes(state: FleetState) -> APIRouter:
    """Return the routes by which viewers choose who is shown."""
    router = APIRouter(tags=["program"])

    @router.get("/api/program/pin")
    def get_pin() -> ProgramPin:
        """Worker that somebody chose for the program."""
        return ProgramPin(worker=state.program.pin)

    @router.put("/api/program/pin")
    def put_pin(pin: ProgramPin) -> ProgramPin:
        """Choose a worker for the program, or leave it to the director."""
        if pin.worker is not None and state.roster.find(pin.worker) is None:
            raise HTTPException(404, state.roster.absence(pin.worker))
        state.program.pin = pin.worker
        return pin

    return router


def running_order(state: FleetState, now: float) -> RunningOrder:
    """Return what the program is to show.

    Args:
        state: of the fleet.
        now: Unix time, seconds.
    """
    workers, pin = state.workers(), state.program.pin
    live = {name for name, status in workers.items() if status.stream_state == "live"}
    sources = [
        ProgramSource(
            name=name,
            address=_stream_of(state, member),
            live=name in live,
        )
        for name in in_order(state.featured(), workers, pin, now)
        if (member := state.roster.find(name)) is not None
    ]
    hardware = any(is_hardware(workers[name]) for name in live)
    return RunningOrder(sources=sources, pin=pin, hardware=hardware)


def _stream_of(state: FleetState, member: Member) -> str:
    """Return the address of a worker's stream for the program's process, which has no token."""
    if member.is_here and member.address is not None:
        return f"{member.address.stream}?relay=true"
    api = state.settings.internal_authority(state.settings.ports.orchestrator)
    return f"ws://{api}/worker/{member.name}/stream?relay=true"


def _head(container: Container) -> Response:
    response = Response(media_type=CONTAINERS[container][0], headers=NO_STORE)
    del response.headers["content-length"]
    return response


def _unreachable(error: StreamUnreachable) -> Response:
    reason = f"the program does not answer ({error}); it is starting, or restarting after a crash"
    return error_response(502, "program_unreachable", reason, {"Retry-After": "1"})
