"""``metabonk.http.origin``: which hosts and which pages are served."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import WebSocket
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.http.app import make_http_app
from metabonk.http.origin import is_loopback, loopback_refusal, same_origin_refusal
from metabonk.messages.base import ErrorBody
from tests.support.serving import served
from tests.support.waiting import GENEROUS_S

FOREIGN_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "evil.example:127",
    "",
    "[::1",
    "10.0.0.1",
]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = make_http_app("test")

    @app.get("/read")
    def read() -> str:
        return "read"

    @app.post("/change")
    def change() -> str:
        return "changed"

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    with served(app) as client:
        yield client


def socket_of(client: httpx.Client) -> str:
    return f"ws://127.0.0.1:{client.base_url.port}/socket"


def refusal(answer: httpx.Response) -> ErrorBody:
    assert answer.status_code == 403
    body = ErrorBody.model_validate(answer.json())
    assert body.error == "foreign_origin"
    return body


@pytest.mark.parametrize("host", ["localhost:5173", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_loopback_names_are_served_on_any_port(client: httpx.Client, host: str):
    assert client.get("/read", headers={"Host": host}).status_code == 200
    assert is_loopback(host)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_name_that_resolves_to_this_machine_is_not_served(
    client: httpx.Client, host: str
):
    refusal(client.get("/read", headers={"Host": host}))
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example", "http://["]
)
def test_a_foreign_page_can_change_nothing(client: httpx.Client, origin: str):
    assert origin in refusal(client.post("/change", headers={"Origin": origin})).message
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(socket_of(client), origin=origin, proxy=None),
    ):
        pass


def test_our_own_page_and_programs_can(client: httpx.Client):
    for headers in ({}, {"Origin": "http://localhost:9999"}):
        assert client.post("/change", headers=headers).json() == "changed"
        with connect(socket_of(client), additional_headers=headers, proxy=None) as websocket:
            assert websocket.recv(timeout=GENEROUS_S) == "hello"


@pytest.mark.parametrize(
    ("site", "on_loopback", "beyond_it"),
    [
        (None, True, True),
        ("none", True, True),
        ("same-origin", True, True),
        ("same-site", True, False),
        ("cross-site", False, False),
        ("unheard-of", False, False),
    ],
)
def test_an_embedded_request_is_judged_by_its_site(
    site: str | None, on_loopback: bool, beyond_it: bool
):
    fetched = {"host": "localhost:5173", "sec-fetch-dest": "video"}
    headers = Headers(fetched | ({} if site is None else {"sec-fetch-site": site}))
    assert (loopback_refusal(headers) is None) == on_loopback
    assert (same_origin_refusal(headers) is None) == beyond_it


def test_following_a_link_from_another_site_is_allowed():
    headers = Headers(
        {"host": "localhost", "sec-fetch-dest": "document", "sec-fetch-site": "cross-site"}
    )
    assert loopback_refusal(headers) is None
    assert same_origin_refusal(headers) is None


@pytest.mark.parametrize("host", ["127.0.0.1:5173", "fleet.example", "fleet.example:8080"])
def test_the_declared_origin_is_our_own_whatever_host_a_proxy_passes_on(host: str):
    public = "http://fleet.example:8080"
    asked = Headers({"host": host, "origin": public})
    assert same_origin_refusal(asked, public) is None
    asked = Headers({"host": host, "origin": "http://evil.example"})
    assert "--public-url" in (same_origin_refusal(asked, public) or "")


@pytest.mark.parametrize(
    ("host", "origin", "is_own"),
    [
        ("10.0.0.5:5173", "http://10.0.0.5:5173", True),
        ("Fleet.example:5173", "https://fleet.example:5173", True),
        ("10.0.0.5:5173", "http://10.0.0.5:8080", False),
        ("10.0.0.5:5173", "http://localhost:5173", False),
        ("", "null", False),
        ("", "", False),
    ],
)
def test_beyond_loopback_the_origin_has_to_equal_the_host(host: str, origin: str, is_own: bool):
    reason = same_origin_refusal(Headers({"host": host, "origin": origin}))
    assert (reason is None) == is_own
