"""Error responses: every refusal has an ``ErrorBody``, and names what is allowed instead."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from metabonk.messages.base import ErrorBody

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

ERROR_DOCS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "says what is wrong with the request"}
}
"""Responses of every route, for the OpenAPI document."""

STREAM_ERROR_DOCS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": ERROR_DOCS["4XX"]["description"],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }
}
"""The same of routes whose responses are otherwise no JSON: FastAPI would document that type."""


def error_response(
    status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return a refusal for programs and people.

    Args:
        status: 4xx or 5xx.
        error: a code for programs, snake_case.
        message: a sentence for people.
        headers: further ones.
    """
    body = ErrorBody(error=error, message=message)
    return JSONResponse(body.model_dump(), status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Give the framework's own refusals an ``ErrorBody`` too."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ClientDisconnect, _incomplete)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed_methods(request, headers.get("Allow", ""))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    message = f"{request.method} {request.url.path}: {error.detail}"
    return error_response(error.status_code, name, message, headers)


def _allowed_methods(request: Request, otherwise: str) -> str:
    """Return the methods of a path for ``Allow``; the framework names those of one route only."""
    routes = request.app.router.routes
    matching = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
    return ", ".join([*(matching or otherwise.split(", ")), "OPTIONS"])


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return error_response(422, "malformed", f"{field}: {first['msg']}")


async def _incomplete(request: Request, error: Exception) -> JSONResponse:
    """Answer a client that left in mid-body; unhandled, it would be logged as a server error."""
    return error_response(400, "incomplete", "the body ended before its Content-Length")
