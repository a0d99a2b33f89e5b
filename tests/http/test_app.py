"""``metabonk.http.app`` and ``errors``: body limits, and an ``ErrorBody`` for every refusal."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import HTTPException

from metabonk.http.app import make_http_app
from metabonk.messages.base import ErrorBody, Problem
from tests.support.serving import served


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = make_http_app("test", max_body_bytes=100)

    @app.get("/read")
    def read(number: int = 0) -> int:
        return number

    @app.put("/read")
    def write() -> None:
        pass

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, "no coffee here", headers={"Retry-After": "7"})

    @app.post("/change")
    def change(problem: Problem) -> str:
        return problem.message

    with served(app) as client:
        yield client


def refusal(answer: httpx.Response, status: int) -> ErrorBody:
    assert answer.status_code == status
    return ErrorBody.model_validate(answer.json())


def test_every_refusal_has_a_body_for_programs_and_people(client: httpx.Client):
    assert refusal(client.get("/nothing"), 404).error == "not_found"
    assert refusal(client.post("/read"), 405).error == "method_not_allowed"
    assert "query.number" in refusal(client.get("/read?number=x"), 422).message
    assert refusal(client.post("/change", content="{"), 422).error == "malformed"
    teapot = client.get("/teapot")
    assert "no coffee here" in refusal(teapot, 418).message
    assert teapot.headers["Retry-After"] == "7"


def test_every_method_of_a_path_is_named(client: httpx.Client):
    for path, methods in (("/read", "GET, PUT, OPTIONS"), ("/change", "POST, OPTIONS")):
        assert client.patch(path).headers["Allow"] == methods
        answer = client.options(path)
        assert (answer.status_code, answer.headers["Allow"], answer.text) == (204, methods, "")
    assert client.options("/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/change", "/read", "/nothing"])
def test_a_body_that_is_too_large_or_of_unknown_size_is_not_read(client: httpx.Client, path: str):
    large = client.post(path, json={"message": "a" * 100, "action": "b"})
    assert "at most 100" in refusal(large, 413).message
    assert refusal(client.post(path, content=iter([b"{}"])), 411).error == "length_required"
