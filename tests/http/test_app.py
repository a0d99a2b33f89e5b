"""Who is served, and what everybody else is answered."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import HTTPException, WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.http.app import make_http_app
from metabonk.http.origin import is_loopback
from metabonk.messages import ErrorBody, Problem
from tests.support.serving import served


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = make_http_app("test", max_body_bytes=100)

    @app.get("/read")
    def read(number: int = 0) -> int:
        return number

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, "no coffee here", headers={"Retry-After": "7"})

    @app.post("/change")
    def change(problem: Problem) -> str:
        return problem.message

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    with served(app) as client:
        yield client


def socket_of(client: httpx.Client) -> str:
    return f"ws://127.0.0.1:{client.base_url.port}/socket"


def refusal(answer: httpx.Response, status: int) -> ErrorBody:
    assert answer.status_code == status
    return ErrorBody.model_validate(answer.json())


@pytest.mark.parametrize("host", ["localhost:5173", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_loopback_names_are_served_whatever_the_port(client: httpx.Client, host: str):
    assert client.get("/read", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:127", "", "[::1", "10.0.0.1"]
)
def test_a_foreign_name_that_resolves_to_this_machine_is_not_served(
    client: httpx.Client, host: str
):
    assert refusal(client.get("/read", headers={"Host": host}), 403).error == "foreign_origin"
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example"]
)
def test_a_foreign_page_can_change_nothing(client: httpx.Client, origin: str):
    headers = {"Origin": origin}
    body = refusal(
        client.post("/change", json={"message": "a", "action": "b"}, headers=headers), 403
    )
    assert origin in body.message
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(socket_of(client), origin=origin, proxy=None),
    ):
        pass


def test_our_own_page_and_programs_can(client: httpx.Client):
    for headers in ({}, {"Origin": "http://localhost:9999"}):
        answer = client.post("/change", json={"message": "a", "action": "b"}, headers=headers)
        assert answer.json() == "a"
        with connect(socket_of(client), additional_headers=headers, proxy=None) as websocket:
            assert websocket.recv(timeout=5) == "hello"


def test_every_refusal_has_a_body_for_programs_and_people(client: httpx.Client):
    assert refusal(client.get("/nothing"), 404).error == "not_found"
    assert refusal(client.post("/read"), 405).error == "method_not_allowed"
    assert "query.number" in refusal(client.get("/read?number=x"), 422).message
    assert refusal(client.post("/change", content="{"), 422).error == "malformed"
    teapot = client.get("/teapot")
    assert "no coffee here" in refusal(teapot, 418).message
    assert teapot.headers["Retry-After"] == "7"


def test_a_body_that_is_too_large_or_of_unknown_size_is_not_read(client: httpx.Client):
    large = client.post("/change", json={"message": "a" * 100, "action": "b"})
    assert "at most 100" in refusal(large, 413).message
    assert refusal(client.post("/change", content=iter([b"{}"])), 411).error == "length_required"
