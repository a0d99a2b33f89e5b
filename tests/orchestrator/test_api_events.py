"""Server-sent events, read as a browser reads them."""

import json
from collections.abc import Iterator

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.api import event_routes
from metabonk.orchestrator.event_log import EventLog
from tests.support.serving import served


@pytest.fixture
def journal() -> EventLog:
    return EventLog()


@pytest.fixture
def client(journal: EventLog) -> Iterator[httpx.Client]:
    app = make_http_app("test")
    app.include_router(event_routes(journal))
    with served(app) as client:
        yield client


def heard(client: httpx.Client, count: int, last_event_id: bytes = b"") -> list[str]:
    """The messages of so many events."""
    headers = {b"Last-Event-ID": last_event_id} if last_event_id else {}
    messages: list[str] = []
    with client.stream("GET", "/api/events", headers=headers) as answer:  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                messages.append(json.loads(line.removeprefix("data: "))["message"])
            if len(messages) == count:
                return messages
    raise AssertionError(f"the stream ended after {messages}")


def test_what_has_happened_comes_first_and_each_event_once(client: httpx.Client, journal: EventLog):
    journal.died("omega-0", "first")
    journal.died("omega-0", "second")
    assert heard(client, 2) == ["first", "second"]
    assert heard(client, 1, b"1") == ["second"]


@pytest.mark.parametrize(
    "said", [b"77", b"-1", b"nonsense", b"9" * 40, b"9" * 5000, "\u0662".encode()]
)
def test_an_id_that_says_nothing_here_starts_from_the_beginning(
    client: httpx.Client, journal: EventLog, said: bytes
):
    journal.died("omega-0", "first")
    assert heard(client, 1, said) == ["first"]
