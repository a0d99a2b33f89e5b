"""HTTP routes for the recent past of a stream: a file of it, and the policy's thoughts in it.

A clip is sent from what the hub keeps, uncopied, between the turns of live viewers. A slow client
holds on to what the hub has let go meanwhile, so a clip must be taken within ``SEND_TIMEOUT_S``:
however many are under way, they hold no more than that and a minute of the stream.
"""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from metabonk.http.disconnect import run_until_disconnect
from metabonk.http.errors import error_response
from metabonk.messages.base import ErrorBody
from metabonk.messages.streams import ClipTrack
from metabonk.streaming.clip import Clip
from metabonk.streaming.hub import RECENT_S, Hub

log = logging.getLogger(__name__)

MAX_CLIPS = 8
"""Clips sent at a time; further ones wait their turn."""

WAIT_S = 8.0
"""For a turn. Less than the page's port waits for a response."""

SEND_TIMEOUT_S = 120.0
"""For a minute of the stream, twice its length: enough for whoever can watch it live."""

NO_STORE = {"Cache-Control": "no-store"}
BEGINS_AT = "X-Clip-Begins-At"
AGE = "X-Clip-Age"

CLIP_DOC: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"video/mp4": {}},
        "headers": {
            BEGINS_AT: {
                "description": "when the first frame was captured, seconds on ClipTrack's clock",
                "schema": {"type": "number"},
            },
            AGE: {
                "description": "of the last frame, seconds",
                "schema": {"type": "number"},
            },
        },
    },
    503: {"model": ErrorBody, "description": "no picture is kept, or too many clips are sent"},
}
TRACK_DOC: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "no picture is kept"}
}

Seconds = Annotated[
    int,
    Query(
        ge=1,
        le=int(RECENT_S),
        description="wanted length; a clip is up to a keyframe interval longer, or shorter where "
        "less is kept",
    ),
]


def clip_routes(
    hub: Hub, name: str, action_names: Sequence[str], *, wait_s: float = WAIT_S
) -> APIRouter:
    """Return the routes of one stream.

    Args:
        hub: of the stream.
        name: of what is shown, for names of files.
        action_names: of the options that thoughts give probabilities of.
        wait_s: that a clip waits for its turn, seconds.
    """
    router = APIRouter(tags=["stream"])
    turns = asyncio.Semaphore(MAX_CLIPS)

    @router.get("/clip.mp4", response_class=Response, responses=CLIP_DOC)
    def get_clip(seconds: Seconds = 20) -> Response:
        """MP4 file of the last seconds of the stream, as they were encoded."""
        return ClipResponse(hub, seconds, name, turns, wait_s)

    @router.head("/clip.mp4", response_class=Response, responses=CLIP_DOC)
    def head_clip(seconds: Seconds = 20) -> Response:
        """Tell whether there is a clip now, and its size."""
        clip = record(hub, seconds)
        return nothing_kept() if clip is None else Response(headers=clip_headers(clip, name))

    @router.get("/clip.json", response_model=ClipTrack, responses=TRACK_DOC)
    def get_track(seconds: Seconds = 20) -> Response:
        """Thoughts of the policy in the last seconds of the stream."""
        clip = record(hub, seconds)
        if clip is None:
            return nothing_kept()
        track = ClipTrack(
            begins_at=clip.begins_at,
            duration=clip.duration,
            actions=list(action_names),
            thoughts=clip.thoughts(),
        )
        return Response(track.model_dump_json(), media_type="application/json", headers=NO_STORE)

    return router


def record(hub: Hub, seconds: float) -> Clip | None:
    """Return the last seconds of a stream; None if no picture is kept."""
    gops = hub.recent(seconds)
    return Clip(gops) if gops else None


def clip_headers(clip: Clip, name: str) -> dict[str, str]:
    """Return the headers of a clip's response.

    Args:
        clip: to be sent.
        name: of what is shown.
    """
    return {
        **NO_STORE,
        "Content-Type": "video/mp4",
        "Content-Length": str(clip.size),
        "Content-Disposition": f'attachment; filename="{file_name(name, datetime.now())}"',
        BEGINS_AT: f"{clip.begins_at:.6f}",
        AGE: f"{max(0.0, time.monotonic() - clip.ends_at):.3f}",
    }


def file_name(name: str, ended_at: datetime) -> str:
    """Return a clip's file name, of characters that every system accepts."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return f"{safe}-{ended_at:%Y-%m-%d-%H-%M-%S}.mp4"


def nothing_kept() -> Response:
    """Return the 503 for a stream without a past."""
    return error_response(
        503,
        "no_clip_yet",
        f"no picture of the last {RECENT_S:.0f} s is kept, because nothing was streamed; "
        "try again once the worker is live",
        NO_STORE | {"Retry-After": "5"},
    )


class ClipResponse(Response):
    """A clip, made in its turn and off the event loop.

    Args:
        hub: of the stream.
        seconds: wanted length.
        name: of what is shown.
        turns: of all clips of the stream.
        wait_s: for a turn, seconds.
    """

    def __init__(
        self, hub: Hub, seconds: float, name: str, turns: asyncio.Semaphore, wait_s: float
    ) -> None:
        super().__init__()
        self._hub = hub
        self._seconds = seconds
        self._name = name
        self._turns = turns
        self._wait_s = wait_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the clip, unless the client leaves."""
        await run_until_disconnect(receive, self._send_in_turn(scope, receive, send))

    async def _send_in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            busy = f"{MAX_CLIPS} clips of this stream are being sent already; try again in a moment"
            refusal = error_response(503, "too_many_clips", busy, NO_STORE | {"Retry-After": "5"})
            await refusal(scope, receive, send)
            return
        try:
            await self._send(scope, receive, send)
        finally:
            self._turns.release()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        clip = await asyncio.to_thread(record, self._hub, self._seconds)
        if clip is None:
            await nothing_kept()(scope, receive, send)
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                self.init_headers(clip_headers(clip, self._name))
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                for chunk in clip.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    # A send doesn't wait while the client keeps up: let live viewers have a turn.
                    await asyncio.sleep(0)
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            log.info("a clip was cut off: its client did not take it in %.0f s", SEND_TIMEOUT_S)
