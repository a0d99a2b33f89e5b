"""WHEP routes: a worker's video over WebRTC (draft-ietf-wish-whep).

A player posts an SDP offer and gets the answer; when it leaves, it deletes the resource that
``Location`` named. The answer contains all candidates. A player may send its own ones later (PATCH,
trickle ICE): they are accepted and not needed, since its checks show where it is (``sdp``). ICE is
never restarted, which is answered by 422 as the draft asks.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from metabonk.http.errors import error_response
from metabonk.messages.base import ErrorBody
from metabonk.messages.streams import StateMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.http import NO_STORE, UNAVAILABLE_DOC, unavailable
from metabonk.streaming.sdp import MAX_OFFER_BYTES, InvalidOffer
from metabonk.streaming.viewer import Audience
from metabonk.streaming.webrtc import MAX_VIEWERS, NoCommonCodec, TooManyViewers, WebRtc

WAIT_S = 3.0
"""For a stream (see ``http``). Less than the page's player waits for its first frame."""

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ANSWER_DOC: dict[int | str, dict[str, Any]] = {
    201: {"content": {SDP: {}}, "description": "the SDP answer; Location names the connection"},
    400: {"model": ErrorBody, "description": "the offer is malformed"},
    404: {"model": ErrorBody, "description": "this is another worker"},
    406: {"model": ErrorBody, "description": "the player can't decode the stream"},
    411: {"model": ErrorBody, "description": "the size of the offer is unknown"},
    413: {"model": ErrorBody, "description": "the offer is too large"},
    415: {"model": ErrorBody, "description": "the body is not SDP"},
    **UNAVAILABLE_DOC,
}
PATCH_DOC: dict[int | str, dict[str, Any]] = {
    204: {"description": "the candidates were taken"},
    404: {"model": ErrorBody, "description": "no such connection, or no longer"},
    422: {"model": ErrorBody, "description": "ICE is not restarted; or malformed"},
}
DELETE_DOC: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "no such connection, or no longer"}
}
TEXT = {"schema": {"type": "string"}}
OFFER_DOC = {"requestBody": {"required": True, "content": {SDP: TEXT}}}
FRAGMENT_DOC = {"requestBody": {"required": True, "content": {FRAGMENT: TEXT}}}

Worker = Annotated[str | None, Query(description="its name; optional on its own port")]


def whep_routes(
    webrtc: WebRtc,
    state: Callable[[], StateMessage],
    name: str,
    *,
    enabled: bool = True,
    wait_s: float = WAIT_S,
) -> APIRouter:
    """Return the WHEP routes of one stream.

    Args:
        webrtc: its connections.
        state: returns the stream's state.
        name: of the worker.
        enabled: False if the user has disabled streams.
        wait_s: that an offer waits for a stream, seconds.
    """
    router = APIRouter(tags=["stream"])

    @router.post("/whep", status_code=201, responses=ANSWER_DOC, openapi_extra=OFFER_DOC)
    async def open_connection(
        request: Request, worker: Worker = None, audience: Audience = "dedicated"
    ) -> Response:
        """Start watching: post an SDP offer, get the answer."""
        if worker not in (None, name):
            return error_response(404, "not_found", f"this is {name}, not {worker!r}")
        if refused := _bad_body(request, SDP):
            return refused
        dedicated = audience == "dedicated"
        if enabled:
            await webrtc.wait_until_live(dedicated=dedicated, timeout_s=wait_s)
        current = state()
        if current.state is not StreamState.LIVE:
            return unavailable(current, enabled=enabled)
        try:
            offer = (await request.body()).decode()
            connection, answer = await webrtc.open(
                offer, _viewer_address(request), dedicated=dedicated
            )
        except (UnicodeDecodeError, InvalidOffer) as error:
            return error_response(400, "bad_offer", str(error))
        except NoCommonCodec:
            reason = "the stream is H.264 only (Constrained Baseline, packetization-mode 1)"
            return error_response(406, "no_common_codec", reason)
        except TooManyViewers:
            reason = f"all {MAX_VIEWERS} WebRTC connections are in use; watch /stream.mp4 instead"
            return error_response(503, "too_many_viewers", reason, {"Retry-After": "5"})
        headers = {
            "Location": f"/whep/{connection}?worker={name}",
            # Of the ICE session, which is never restarted. Some players refuse an answer without.
            "ETag": f'"{connection}"',
            "Accept-Patch": FRAGMENT,
        }
        return Response(answer, 201, NO_STORE | headers, SDP)

    @router.options("/whep", status_code=204, response_class=Response)
    def describe() -> Response:
        """Tell what may be posted."""
        return Response(status_code=204, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})

    @router.delete("/whep/{connection}", response_class=Response, responses=DELETE_DOC)
    async def end_connection(connection: str, worker: Worker = None) -> Response:
        """End a connection."""
        if worker not in (None, name) or not await webrtc.close(connection):
            return error_response(404, "not_found", "no such connection, or no longer")
        return Response(status_code=200, headers=NO_STORE)

    @router.patch(
        "/whep/{connection}",
        status_code=204,
        response_class=Response,
        responses=PATCH_DOC,
        openapi_extra=FRAGMENT_DOC,
    )
    async def add_candidates(request: Request, connection: str, worker: Worker = None) -> Response:
        """Take further candidates of the player's."""
        if refused := _bad_body(request, FRAGMENT):
            return refused
        fragment = (await request.body()).decode(errors="replace")
        if worker not in (None, name) or connection not in webrtc:
            return error_response(404, "not_found", "no such connection, or no longer")
        if webrtc.is_restart(connection, fragment):
            reason = "ICE is not restarted here; post a new offer to reconnect"
            return error_response(422, "no_ice_restart", reason)
        return Response(status_code=204, headers=NO_STORE)

    return router


def _bad_body(request: Request, expected: str) -> Response | None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != expected:
        reason = f"the body must be {expected}, not {kind[:50] or 'untyped'}"
        accepted = {"Accept-Post" if expected == SDP else "Accept-Patch": expected}
        return error_response(415, "unsupported_media_type", reason, accepted)
    size = request.headers.get("content-length", "")
    if not size.isdecimal():
        return error_response(411, "length_required", "send the size as Content-Length")
    if int(size) > MAX_OFFER_BYTES:
        reason = f"the body has {size} bytes; at most {MAX_OFFER_BYTES} are accepted"
        return error_response(413, "too_large", reason)
    return None


def _viewer_address(request: Request) -> str:
    """Return the viewer's IP address.

    The page's port relays it in ``X-Forwarded-For``, which uvicorn accepts from this machine only.
    """
    assert request.client is not None, "served over TCP"
    return request.client.host
