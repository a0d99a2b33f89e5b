"""Messages that keep an open page up to date, as pydantic models."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from metabonk.messages.alerts import Severity
from metabonk.messages.base import Message, Text
from metabonk.messages.fleet import Featured, Fleet


class EventKind(StrEnum):
    """Kinds of fleet events."""

    REGISTERED = "registered"
    LIVE = "live"
    STANDBY = "standby"
    DIED = "died"
    RESTARTED = "restarted"
    LEFT = "left"
    BEST_RETURN = "best_return"
    INCIDENT = "incident"


class FleetEvent(Message):
    """Server-sent event of ``/api/events``, with the id of the event stream."""

    id: int
    at: float = Field(description="Unix time, seconds")
    kind: EventKind
    severity: Severity
    instance_id: str = Field(description="worker, 'learner', or what an incident is about")
    message: Text


class Opening(Message):
    """Contents of ``#opening`` in the page's HTML: it asks for video before it asks for this."""

    fleet: Fleet
    featured: Featured


class FleetChange(Message):
    """Server-sent event ``fleet`` of ``/api/events?fleet=true``: what has changed since the last.

    The first one has everything.
    """

    fleet: dict[str, Any] = Field(description="changed fields of Fleet, without its workers")
    workers: dict[str, dict[str, Any]] = Field(description="changed fields of WorkerStatus")
    gone: list[str] = Field(description="workers that there are no more")
    featured: Featured | None = Field(description="null if it has not changed")
