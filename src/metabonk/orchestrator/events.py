"""``/api/events``: what happens in the fleet, as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from metabonk.messages import FleetEvent
from metabonk.orchestrator.journal import Journal

PERIOD_S = 0.25
QUIET_S = 15.0
"""A comment is sent after so long without an event: proxies end connections that look dead."""

ID = re.compile(r"[0-9]{1,15}")
"""With more digits a page's numbers are not exact."""


def event_routes(journal: Journal) -> APIRouter:
    """The route over the journal."""
    router = APIRouter()

    @router.get("/api/events", response_class=StreamingResponse, responses={200: EVENT_STREAM})
    async def get_events(
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Events as they happen; those after ``Last-Event-ID`` that are still kept come first."""
        known = ID.fullmatch(last_event_id or "")
        return StreamingResponse(
            _stream(journal, int(known[0]) if known else 0),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


EVENT_STREAM = {
    "description": "one FleetEvent as JSON in each event's data",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


async def _stream(journal: Journal, last_id: int) -> AsyncIterator[str]:
    """A reader that is slow is behind and no more: nothing waits for it but the journal itself."""
    # An id of another start of the orchestrator says nothing here.
    last_id = last_id if last_id <= journal.last_id else 0
    yield "retry: 1000\n\n"
    quiet_s = 0.0
    while True:
        events = journal.since(last_id)
        for event in events:
            last_id = event.id
            yield _event(event)
        quiet_s = 0.0 if events else quiet_s + PERIOD_S
        if quiet_s >= QUIET_S:
            quiet_s = 0.0
            yield ": nothing has happened\n\n"
        await asyncio.sleep(PERIOD_S)


def _event(event: FleetEvent) -> str:
    return f"id: {event.id}\ndata: {event.model_dump_json()}\n\n"
