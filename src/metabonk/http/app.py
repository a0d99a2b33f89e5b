"""The FastAPI application that every process starts from: guarded, and an ErrorBody for every no.

The guards are for a browser on this machine that has somebody else's page open. Such a page can
send requests to loopback addresses, and with a name of its own that resolves to 127.0.0.1 (DNS
rebinding) it would even read the answers. So only loopback names are served, and nothing at all to
a page of another origin: to open a stream is to change who is shown. A port that is open to other
machines can't know its names, and asks for a token instead (``access``).
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from metabonk.http.auth import TokenAuthMiddleware
from metabonk.messages import ErrorBody

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY = 8 << 20
"""Bytes; a heartbeat with as many episodes as it may carry is about a quarter of it."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "says what is wrong with the request"}
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_http_app(
    title: str,
    *,
    largest_body: int = LARGEST_BODY,
    lifespan: Lifespan | None = None,
    token: str | None = None,
) -> FastAPI:
    """An application without routes.

    Args:
        title: for its OpenAPI document.
        largest_body: of a request, bytes.
        lifespan: entered while it is served, in the server's event loop.
        token: what everybody has to know; None: served on loopback only, to whoever is there.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, lifespan=lifespan, responses=REFUSALS)
    app.add_middleware(BodyLimit, largest=largest_body)
    if token is None:
        app.add_middleware(LoopbackOnly)
    else:
        app.add_middleware(TokenAuthMiddleware, token=token)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ClientDisconnect, _incomplete)
    return app


def error_response(
    status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer that says no, for programs and for people."""
    body = ErrorBody(error=error, message=message)
    return JSONResponse(body.model_dump(), status, headers)


class LoopbackOnly:
    """Answers 403 to a foreign host name and to a page of a foreign origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request or refuses it."""
        if scope["type"] in ("http", "websocket") and (reason := _foreign(scope)):
            await error_response(403, "foreign_origin", reason)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body that is too large before it is read, and 411 to one of unknown size."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request or refuses it."""
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if "transfer-encoding" in headers:
            return error_response(411, "length_required", "say the size in Content-Length")
        # The server itself has refused a length that is no number.
        size = int(headers.get("content-length", 0))
        if size <= self._largest:
            return None
        return error_response(
            413, "too_large", f"the body has {size} bytes; at most {self._largest} are taken"
        )


def is_loopback(authority: str) -> bool:
    """Whether a ``Host`` header names this machine by loopback."""
    return _is_loopback_address(f"//{authority}")


def _is_loopback_address(address: str) -> bool:
    try:
        return urlsplit(address).hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def _foreign(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not is_loopback(host):
        return f"only 127.0.0.1 and localhost are served, not {host[:100]!r}"
    origin = headers.get("origin")
    if origin is not None:
        ours = _is_loopback_address(origin)
        return None if ours else f"a page of {origin[:100]!r} may not do this"
    # Without an origin: pictures, videos and frames of other pages (Fetch Metadata).
    visited = headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site") == "cross-site" and not visited:
        return "a page of another site may not show this"
    return None


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    message = f"{request.method} {request.url.path}: {error.detail}"
    return error_response(error.status_code, name, message, dict(error.headers or {}))


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return error_response(422, "malformed", f"{where}: {first['msg']}")


async def _incomplete(request: Request, error: Exception) -> JSONResponse:
    """Nobody is there to read it; but it is no fault of ours, which would be logged."""
    return error_response(400, "incomplete", "the body ended before its length")
