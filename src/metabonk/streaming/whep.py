"""A worker's video over WebRTC: the routes of WHEP (draft-ietf-wish-whep).

A player posts an SDP offer and gets the answer, and deletes the session that ``Location`` names
when it leaves. Offer and answer hold all of their candidates, so there is nothing to add later:
PATCH (trickle ICE, ICE restarts) is answered by 405, as the protocol has it for servers without.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from metabonk.http.errors import error_response
from metabonk.messages import ErrorBody, StateMessage, StreamState
from metabonk.streaming.http import NEVER_STORED, REFUSAL_DOC, Audience, refusal
from metabonk.streaming.sdp import InvalidOffer
from metabonk.streaming.webrtc import MOST_VIEWERS, NoCommonCodec, TooManyViewers, WebRtc

SDP = "application/sdp"
LARGEST_OFFER = 64 << 10
"""Bytes; browsers' offers of one video take about 6 KB."""

ANSWER_DOC: dict[int | str, dict[str, Any]] = {
    201: {"content": {SDP: {}}, "description": "the SDP answer; Location names the session"},
    400: {"model": ErrorBody, "description": "the offer makes no sense"},
    404: {"model": ErrorBody, "description": "this is another worker"},
    406: {"model": ErrorBody, "description": "the player can't decode the stream"},
    411: {"model": ErrorBody, "description": "the size of the offer is unknown"},
    413: {"model": ErrorBody, "description": "the offer is too large"},
    415: {"model": ErrorBody, "description": "the body is no SDP"},
    **REFUSAL_DOC,
}
SESSION_DOC: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "there is no such session, or no longer"}
}
OFFER_DOC = {"requestBody": {"required": True, "content": {SDP: {"schema": {"type": "string"}}}}}

Worker = Annotated[str | None, Query(description="its name; may be left out on its own port")]


def whep_routes(
    webrtc: WebRtc, state: Callable[[], StateMessage], name: str, *, enabled: bool = True
) -> APIRouter:
    """The routes of one stream.

    Args:
        webrtc: its connections.
        state: what the stream does now.
        name: of the worker, as other processes call it.
        enabled: false where the user wants no streams at all.
    """
    router = APIRouter(tags=["stream"])

    @router.post("/whep", status_code=201, responses=ANSWER_DOC, openapi_extra=OFFER_DOC)
    async def open_session(
        request: Request, worker: Worker = None, audience: Audience = "dedicated"
    ) -> Response:
        """Begins to watch: takes an SDP offer, gives the answer."""
        if worker not in (None, name):
            return error_response(404, "not_found", f"this is {name}, and not {worker!r}")
        if refused := _bad_body(request):
            return refused
        now = state()
        if now.state is not StreamState.LIVE:
            return refusal(now, enabled=enabled)
        try:
            offer = (await request.body()).decode()
            session, answer = await webrtc.open(
                offer, _viewer(request), dedicated=audience == "dedicated"
            )
        except (UnicodeDecodeError, InvalidOffer) as error:
            return error_response(400, "bad_offer", str(error))
        except NoCommonCodec:
            why = (
                "the stream is H.264 (Constrained Baseline, packetization-mode 1) and nothing else"
            )
            return error_response(406, "no_common_codec", why)
        except TooManyViewers:
            why = f"{MOST_VIEWERS} viewers watch over WebRTC already; /stream.mp4 has room for more"
            return error_response(503, "too_many_viewers", why, {"Retry-After": "5"})
        location = f"/whep/{session}?worker={name}"
        return Response(answer, 201, NEVER_STORED | {"Location": location}, SDP)

    @router.options("/whep", status_code=204, response_class=Response)
    def describe() -> Response:
        """What may be posted."""
        return Response(status_code=204, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})

    @router.delete("/whep/{session}", response_class=Response, responses=SESSION_DOC)
    async def end_session(session: str, worker: Worker = None) -> Response:
        """Ends a session."""
        if worker not in (None, name) or not await webrtc.close(session):
            return error_response(404, "not_found", "there is no such session, or no longer")
        return Response(status_code=200, headers=NEVER_STORED)

    @router.patch("/whep/{session}", include_in_schema=False)
    def patch_session(session: str, worker: Worker = None) -> Response:
        """Refused: offer and answer held all candidates."""
        why = "offer and answer held all candidates; post a new offer to connect anew"
        return error_response(405, "method_not_allowed", why, {"Allow": "DELETE"})

    return router


def _bad_body(request: Request) -> Response | None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != SDP:
        why = f"the body has to be {SDP}, and is {kind[:50] or 'of no type'}"
        return error_response(415, "unsupported_media_type", why, {"Accept-Post": SDP})
    size = request.headers.get("content-length", "")
    if not size.isdecimal():
        return error_response(411, "length_required", "say the size in Content-Length")
    if int(size) > LARGEST_OFFER:
        why = f"the offer has {size} bytes; at most {LARGEST_OFFER} are taken"
        return error_response(413, "too_large", why)
    return None


def _viewer(request: Request) -> str:
    """The address of the viewer. Where the page's port stands between, it says it by
    ``X-Forwarded-For``, which the server takes from this machine and from nobody else.
    """
    assert request.client is not None, "served over TCP"
    return request.client.host
