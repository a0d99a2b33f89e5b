"""A worker's video over HTTP: fragmented MP4 and MPEG-TS without end, and single pictures.

An endless answer ends when its stream does: at a state other than live, and at a new epoch, whose
clock starts again and whose init segment may be another. A plain player shows neither a reason nor
a second stream in one file, but it does reconnect; the page uses the WebSocket, which survives
both.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from metabonk.messages import ErrorBody, StateMessage, StreamState
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.hub import Hub, Viewer
from metabonk.streaming.mpegts import TransportStream
from metabonk.streaming.snapshot import Snapshot

LEFT = ("http.disconnect", "websocket.disconnect")


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Runs ``work`` until it ends or the client leaves; what the client sends is not read.

    Raises:
        Exception: whatever ``work`` raised.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))
    for task in (leaving, working):
        if not task.cancelled():
            task.result()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] not in LEFT:
        pass


Audience = Literal["dedicated", "broadcast"]

NEVER_STORED = {"Cache-Control": "no-store"}

# Error code and seconds to wait before another try.
REFUSALS = {
    StreamState.STARTING: ("encoder_starting", 1),
    StreamState.STANDBY: ("no_encoder_session", 5),
    StreamState.ERROR: ("encoder_error", 5),
}
DISABLED = ("stream_disabled", 60)

REFUSAL_DOC: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "no encoder session now; says why"}
}
MP4_DOC = {200: {"content": {"video/mp4": {}}}, **REFUSAL_DOC}
TS_DOC = {200: {"content": {"video/mp2t": {}}}, **REFUSAL_DOC}

SNAPSHOT_DOC: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    503: {"model": ErrorBody, "description": "no frame was drawn yet"},
}


class Muxer(Protocol):
    """Makes a file format of the fragments of one epoch."""

    head: bytes

    def pack(self, fragment: Fragment) -> bytes:
        """The bytes of one picture."""
        ...


class _Mp4:
    def __init__(self, epoch: Epoch) -> None:
        self.head = epoch.init

    def pack(self, fragment: Fragment) -> bytes:
        return fragment.data


class LiveResponse(Response):
    """A stream without end, for one viewer.

    Joins the hub for as long as it is sent. Nothing is sent, not even the status, before it is
    known that there is a stream: without one the answer is a 503.

    Args:
        hub: of the stream.
        media_type: of the format.
        packer: makes the format.
        refusal: the answer where there is no stream.
        dedicated: whether the viewer chose this stream.
    """

    def __init__(
        self,
        hub: Hub,
        media_type: str,
        packer: Callable[[Epoch], Muxer],
        refusal: Callable[[StateMessage], Response],
        dedicated: bool,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(NEVER_STORED)
        self._hub = hub
        self._packer = packer
        self._refusal = refusal
        self._dedicated = dedicated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the stream ends or the viewer leaves."""
        with self._hub.join(self._dedicated) as viewer:
            await run_until_disconnect(receive, self._send(viewer, scope, receive, send))

    async def _send(self, viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        packer: Muxer | None = None
        async for item in viewer:
            if isinstance(item, StateMessage):
                if item.state is StreamState.LIVE:
                    continue
                if packer is None:
                    await self._refusal(item)(scope, receive, send)
                    return
                break
            if isinstance(item, Epoch):
                if packer is not None:
                    break
                packer = self._packer(item)
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                await send(_body(packer.head))
            elif packer is not None and isinstance(item, Fragment):
                await send(_body(packer.pack(item)))
        await send(_body(b"", more=False))


def stream_routes(hub: Hub, snapshot: Snapshot, *, enabled: bool = True) -> APIRouter:
    """The routes of one stream.

    Args:
        hub: of the stream.
        snapshot: of the same game.
        enabled: false where the user wants no streams at all.
    """
    router = APIRouter(tags=["stream"])

    def refuse(state: StateMessage) -> Response:
        return refusal(state, enabled=enabled)

    def live(media_type: str, packer: Callable[[Epoch], Muxer], audience: Audience) -> Response:
        return LiveResponse(hub, media_type, packer, refuse, audience == "dedicated")

    @router.get("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def get_mp4(audience: Audience = "dedicated") -> Response:
        """Fragmented MP4, H.264, without end; starts on a keyframe."""
        return live("video/mp4", _Mp4, audience)

    @router.head("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def head_mp4() -> Response:
        """Whether there is a stream now."""
        return _head("video/mp4")

    @router.get("/stream.ts", response_class=Response, responses=TS_DOC)
    def get_ts(audience: Audience = "dedicated") -> Response:
        """MPEG-TS, H.264, without end, for players and restreamers."""
        return live("video/mp2t", TransportStream, audience)

    @router.head("/stream.ts", response_class=Response, responses=TS_DOC)
    def head_ts() -> Response:
        """Whether there is a stream now."""
        return _head("video/mp2t")

    def _head(media_type: str) -> Response:
        state = hub.state
        if state.state is not StreamState.LIVE:
            return refuse(state)
        response = Response(media_type=media_type, headers=NEVER_STORED)
        del response.headers["content-length"]
        return response

    @router.get("/snapshot.jpg", response_class=Response, responses=SNAPSHOT_DOC)
    async def get_snapshot(
        max_width: Annotated[int | None, Query(ge=16, le=3840, description="pixels")] = None,
    ) -> Response:
        """The newest frame, also where there is no encoder session."""
        data = await snapshot.jpeg(max_width)
        if data is None:
            return _refused("no_frame_yet", 1, "the game has not drawn a frame yet")
        return Response(data, media_type="image/jpeg", headers=NEVER_STORED)

    return router


def refusal(state: StateMessage, *, enabled: bool) -> Response:
    """The answer where there is no stream: 503, and why.

    Args:
        state: what the stream does instead.
        enabled: false where the user wants no streams at all.
    """
    error, retry_s = REFUSALS.get(state.state, REFUSALS[StreamState.STARTING])
    return _refused(*((error, retry_s) if enabled else DISABLED), state.reason)


def _refused(error: str, retry_s: int, reason: str) -> Response:
    return JSONResponse(
        ErrorBody(error=error, message=reason).model_dump(),
        status_code=503,
        headers=NEVER_STORED | {"Retry-After": str(retry_s)},
    )


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
