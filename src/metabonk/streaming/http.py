"""HTTP routes of a worker's video: endless fragmented MP4 and MPEG-TS, and snapshots.

An endless response ends with its stream, at a state other than live: a plain player can't show a
reason, but it does reconnect. It continues through a new epoch, with another encoder or size.

Plain players and restreamers give up at the first refusal, and the director gives a session to a
worker that somebody wants to see. So a request is a viewer of the stream from the start, and is
refused only if there is no stream within ``WAIT_S``.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from metabonk.http.disconnect import run_until_disconnect
from metabonk.http.errors import error_response
from metabonk.messages.base import ErrorBody
from metabonk.messages.streams import StateMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.mpegts import TransportStream
from metabonk.streaming.muxer import Mp4Stream, Muxer
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.viewer import Audience, Viewer

Wait = Annotated[
    bool | None,
    Query(
        description="true: wait for a stream however long it takes; false: say at once that there "
        "is none; by default, wait a few seconds"
    ),
]

WAIT_S = 8.0
"""For a stream: a worker may keep its place for five seconds, and its successor may finish an
episode for three. Less than the page's port waits for a response."""

Container = Literal["mp4", "ts"]
CONTAINERS: Mapping[Container, tuple[str, Callable[[], Muxer]]] = {
    "mp4": ("video/mp4", Mp4Stream),
    "ts": ("video/mp2t", TransportStream),
}

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


def stream_routes(
    hub: Fanout, snapshot: Snapshot, *, enabled: bool = True, wait_s: float = WAIT_S
) -> APIRouter:
    """Return the routes of one stream.

    Args:
        hub: of the stream.
        snapshot: of the same game.
        enabled: False if the user has disabled streams.
        wait_s: that a request waits for a stream, seconds.
    """
    router = APIRouter(tags=["stream"])

    def live(container: Container, audience: Audience, wait: bool | None) -> Response:
        return live_response(hub, container, audience, wait, enabled=enabled, wait_s=wait_s)

    def head(container: Container) -> Response:
        state = hub.state
        if state.state is not StreamState.LIVE:
            return unavailable(state, enabled=enabled)
        response = Response(media_type=CONTAINERS[container][0], headers=NO_STORE)
        del response.headers["content-length"]
        return response

    @router.get("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def get_mp4(audience: Audience = "dedicated", wait: Wait = None) -> Response:
        """Endless fragmented MP4, H.264; starts on a keyframe."""
        return live("mp4", audience, wait)

    @router.head("/stream.mp4", response_class=Response, responses=MP4_DOC)
    def head_mp4() -> Response:
        """Tell whether there is a stream now."""
        return head("mp4")

    @router.get("/stream.ts", response_class=Response, responses=TS_DOC)
    def get_ts(audience: Audience = "dedicated", wait: Wait = None) -> Response:
        """Endless MPEG-TS, H.264, for players and restreamers."""
        return live("ts", audience, wait)

    @router.head("/stream.ts", response_class=Response, responses=TS_DOC)
    def head_ts() -> Response:
        """Tell whether there is a stream now."""
        return head("ts")

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


def live_response(
    hub: Fanout,
    container: Container,
    audience: Audience,
    wait: bool | None,
    *,
    enabled: bool,
    wait_s: float = WAIT_S,
) -> Response:
    """Return the endless response for one viewer, or a refusal.

    Args:
        hub: of the stream.
        container: of the file.
        audience: that the viewer belongs to.
        wait: see ``Wait``.
        enabled: False if the user has disabled streams.
        wait_s: for the first frame by default, seconds.
    """
    refuse = functools.partial(unavailable, enabled=enabled)
    if not enabled or (wait is False and hub.state.state is not StreamState.LIVE):
        return refuse(hub.state)
    timeout_s = None if wait else wait_s
    return LiveResponse(hub, *CONTAINERS[container], refuse, audience == "dedicated", timeout_s)


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


class LiveResponse(Response):
    """Endless response for one viewer, joined to the hub while it is sent.

    Nothing is sent, not even the status, until there is a frame: without one in time the response
    is a 503.

    Args:
        hub: of the stream.
        media_type: of the format.
        muxer: makes the format's muxer.
        refuse: returns the response for a stream that isn't live.
        dedicated: True if the viewer chose this stream.
        timeout_s: for the first frame, seconds; None: as long as the viewer stays.
    """

    def __init__(
        self,
        hub: Fanout,
        media_type: str,
        muxer: Callable[[], Muxer],
        refuse: Callable[[StateMessage], Response],
        dedicated: bool,
        timeout_s: float | None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(NO_STORE)
        self._hub = hub
        self._make_muxer = muxer
        self._refuse = refuse
        self._dedicated = dedicated
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends or the viewer leaves."""
        with self._hub.join(self._dedicated) as viewer:
            await run_until_disconnect(receive, self._send(viewer, scope, receive, send))

    async def _send(self, viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        start = await self._start(viewer)
        if start is None:
            await self._refuse(self._hub.state)(scope, receive, send)
            return
        epoch, first = start
        muxer = self._make_muxer()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send(_body(muxer.begin(epoch) + muxer.mux(first)))
        async for item in viewer:
            if isinstance(item, Fragment):
                await send(_body(muxer.mux(item)))
            elif isinstance(item, Epoch):
                await send(_body(muxer.begin(item)))
            elif isinstance(item, StateMessage) and item.state is not StreamState.LIVE:
                break
        await send(_body(b"", more=False))

    async def _start(self, viewer: Viewer) -> tuple[Epoch, Fragment] | None:
        """Wait for the first frame, and return it and its epoch; None if there is none in time."""
        epoch: Epoch | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                async for item in viewer:
                    if isinstance(item, Epoch):
                        epoch = item
                    elif isinstance(item, Fragment):
                        assert epoch is not None, "a viewer's queue begins with an epoch"
                        return epoch, item
        return None


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
