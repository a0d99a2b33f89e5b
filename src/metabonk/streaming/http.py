"""HTTP routes of a worker's video: endless fragmented MP4 and MPEG-TS, and snapshots.

An endless response ends with its stream: at a state other than live, and at a new epoch, whose
clock restarts and whose init segment may differ. A plain player shows neither a reason nor a second
stream in one file, but it does reconnect; the page uses the WebSocket, which survives both.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from metabonk.http.errors import error_response
from metabonk.messages import ErrorBody, StateMessage, StreamState
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.hub import Hub
from metabonk.streaming.mpegts import TransportStream
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.viewer import Viewer

Audience = Literal["dedicated", "broadcast"]

NO_STORE = {"Cache-Control": "no-store"}

# Error code, and seconds until a retry makes sense.
UNAVAILABLE = {
    StreamState.STARTING: ("encoder_starting", 1),
    StreamState.STANDBY: ("no_encoder_session", 5),
    StreamState.ERROR: ("encoder_error", 5),
}
DISABLED = ("stream_disabled", 60)

UNAVAILABLE_DOC: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "no encoder session now; says why"}
}
MP4_DOC = {200: {"content": {"video/mp4": {}}}, **UNAVAILABLE_DOC}
TS_DOC = {200: {"content": {"video/mp2t": {}}}, **UNAVAILABLE_DOC}
SNAPSHOT_DOC: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    503: {"model": ErrorBody, "description": "no frame was drawn yet"},
}

DISCONNECTS = ("http.disconnect", "websocket.disconnect")


def stream_routes(hub: Hub, snapshot: Snapshot, *, enabled: bool = True) -> APIRouter:
    """Return the routes of one stream.

    Args:
        hub: of the stream.
        snapshot: of the same game.
        enabled: False if the user has disabled streams.
    """
    router = APIRouter(tags=["stream"])

    def refuse(state: StateMessage) -> Response:
        return unavailable(state, enabled=enabled)

    def live(media_type: str, muxer: Callable[[Epoch], Muxer], audience: Audience) -> Response:
        return LiveResponse(hub, media_type, muxer, refuse, audience == "dedicated")

    def head(media_type: str) -> Response:
        state = hub.state
        if state.state is not StreamState.LIVE:
            return refuse(state)
        response = Response(media_type=media_type, headers=NO_STORE)
        del response.headers["content-length"]
        return response

    @router.get("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def get_mp4(audience: Audience = "dedicated") -> Response:
        """Endless fragmented MP4, H.264; starts on a keyframe."""
        return live("video/mp4", _Mp4, audience)

    @router.head("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def head_mp4() -> Response:
        """Tell whether there is a stream now."""
        return head("video/mp4")

    @router.get("/stream.ts", response_class=Response, responses=TS_DOC)
    def get_ts(audience: Audience = "dedicated") -> Response:
        """Endless MPEG-TS, H.264, for players and restreamers."""
        return live("video/mp2t", TransportStream, audience)

    @router.head("/stream.ts", response_class=Response, responses=TS_DOC)
    def head_ts() -> Response:
        """Tell whether there is a stream now."""
        return head("video/mp2t")

    @router.get("/snapshot.jpg", response_class=Response, responses=SNAPSHOT_DOC)
    async def get_snapshot(
        max_width: Annotated[int | None, Query(ge=16, le=3840, description="pixels")] = None,
    ) -> Response:
        """Newest frame, also without an encoder session."""
        data = await snapshot.jpeg(max_width)
        if data is None:
            return _unavailable("no_frame_yet", 1, "the game has not drawn a frame yet")
        return Response(data, media_type="image/jpeg", headers=NO_STORE)

    return router


def unavailable(state: StateMessage, *, enabled: bool) -> Response:
    """Return the 503 for a stream that isn't live.

    Args:
        state: of the stream, with the reason.
        enabled: False if the user has disabled streams.
    """
    error, retry_s = UNAVAILABLE.get(state.state, UNAVAILABLE[StreamState.STARTING])
    return _unavailable(*((error, retry_s) if enabled else DISABLED), state.reason)


def _unavailable(error: str, retry_s: int, reason: str) -> Response:
    return error_response(503, error, reason, NO_STORE | {"Retry-After": str(retry_s)})


class Muxer(Protocol):
    """A file format for the fragments of one epoch."""

    head: bytes

    def mux(self, fragment: Fragment) -> bytes:
        """Return the bytes of one frame."""
        ...


class _Mp4:
    def __init__(self, epoch: Epoch) -> None:
        self.head = epoch.init

    def mux(self, fragment: Fragment) -> bytes:
        return fragment.data


class LiveResponse(Response):
    """Endless response for one viewer, joined to the hub while it is sent.

    Nothing is sent, not even the status, until it is certain that there is a stream: without one
    the response is a 503.

    Args:
        hub: of the stream.
        media_type: of the format.
        muxer: makes the format's muxer for an epoch.
        refuse: returns the response for a stream that isn't live.
        dedicated: True if the viewer chose this stream.
    """

    def __init__(
        self,
        hub: Hub,
        media_type: str,
        muxer: Callable[[Epoch], Muxer],
        refuse: Callable[[StateMessage], Response],
        dedicated: bool,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(NO_STORE)
        self._hub = hub
        self._make_muxer = muxer
        self._refuse = refuse
        self._dedicated = dedicated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends or the viewer leaves."""
        with self._hub.join(self._dedicated) as viewer:
            await run_until_disconnect(receive, self._send(viewer, scope, receive, send))

    async def _send(self, viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        muxer: Muxer | None = None
        async for item in viewer:
            if isinstance(item, StateMessage):
                if item.state is StreamState.LIVE:
                    continue
                if muxer is None:
                    await self._refuse(item)(scope, receive, send)
                    return
                break
            if isinstance(item, Epoch):
                if muxer is not None:
                    break
                muxer = self._make_muxer(item)
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                await send(_body(muxer.head))
            elif muxer is not None and isinstance(item, Fragment):
                await send(_body(muxer.mux(item)))
        await send(_body(b"", more=False))


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it ends or the client disconnects, even in the middle of a send.

    Messages from the client are discarded.

    Raises:
        Exception: whatever ``work`` raised.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))
    for task in (leaving, working):
        if not task.cancelled():
            task.result()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] not in DISCONNECTS:
        pass
