"""HTTP routes of events: a stream as they happen, and pages of earlier ones."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse

from metabonk.http.errors import STREAM_ERROR_DOCS
from metabonk.messages.alerts import Severity
from metabonk.messages.feed import FleetEvent
from metabonk.orchestrator.feed import INTERVAL_S, NOTHING, Feed
from metabonk.orchestrator.fleet.event_log import EventLog

POLL_S = 0.25
KEEPALIVE_S = 15.0
RECONNECT_MS = 1000

EVENT_ID = re.compile(r"[0-9]{1,15}")
"""More digits are not exact in a page's numbers."""

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Before = Annotated[int | None, Query(ge=0, le=10**15)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


class EventStream(StreamingResponse):
    """Server-sent events (WHATWG HTML, section 9.2).

    Not FastAPI's own response: its task group logs an exception for a client that leaves while
    several events are on their way.
    """

    media_type = "text/event-stream"


def event_routes(events: EventLog, feed: Feed) -> APIRouter:
    """Return the routes.

    Args:
        events: of the fleet.
        feed: of the fleet as it changes.
    """
    router = APIRouter()

    @router.get(
        "/api/events",
        response_class=EventStream,
        response_description="one FleetEvent as JSON in each event's data",
        responses=STREAM_ERROR_DOCS,
    )
    async def get_events(
        last_event_id: Annotated[str | None, Header()] = None,
        fleet: bool = False,
    ) -> EventStream:
        """Events as they happen, preceded by those kept since ``Last-Event-ID``.

        On request also the fleet, as it changes: an event named ``fleet`` about once a second.
        """
        known = EVENT_ID.fullmatch(last_event_id or "")
        last_id = int(known[0]) if known else 0
        if last_id > events.last_id:
            # Of a fleet in another folder, or before its file was lost.
            last_id = 0
        return EventStream(_stream(events, feed if fleet else None, last_id), headers=HEADERS)

    @router.get("/api/events/log")
    def get_event_log(
        before: Before = None, limit: Limit = 100, severity: Severity = Severity.INFO
    ) -> list[FleetEvent]:
        """Events before one with this id, newest first, also of earlier starts."""
        return events.page(before, limit, severity)

    return router


async def _stream(events: EventLog, feed: Feed | None, last_id: int) -> AsyncIterator[bytes]:
    """Yield what has happened after an event, and then what happens."""
    yield format_sse_event(retry=RECONNECT_MS)
    shown, due, quiet_since = NOTHING, 0.0, time.monotonic()
    while True:
        now, parts = time.monotonic(), []
        if feed is not None and now >= due:
            view, due = feed.view(), now + INTERVAL_S
            change = view.since(shown).model_dump_json()
            parts.append(format_sse_event(event="fleet", data_str=change))
            shown = view
        for event in events.since(last_id):
            last_id = event.id
            parts.append(format_sse_event(id=str(event.id), data_str=event.model_dump_json()))
        if not parts and now - quiet_since >= KEEPALIVE_S:
            parts.append(KEEPALIVE_COMMENT)
        if parts:
            quiet_since = now
            yield b"".join(parts)
        await asyncio.sleep(POLL_S)
