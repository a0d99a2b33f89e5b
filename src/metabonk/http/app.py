"""The FastAPI application that every process starts from."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from metabonk.http.auth import TokenAuthMiddleware
from metabonk.http.embed import NO_TILES, Embedding
from metabonk.http.errors import ERROR_DOCS, add_error_handlers, error_response
from metabonk.http.origin import LoopbackOnlyMiddleware
from metabonk.http.prefix import PrefixMiddleware
from metabonk.settings.public_url import split_public_url

MAX_BODY_BYTES = 8 << 20
"""Nearly twice the largest heartbeat."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_http_app(
    title: str,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    lifespan: Lifespan | None = None,
    token: str | None = None,
    public_url: str | None = None,
    embedding: Embedding = NO_TILES,
) -> FastAPI:
    """Return an application without routes, guarded and with an ``ErrorBody`` for every refusal.

    Args:
        title: of its OpenAPI document.
        max_body_bytes: of a request.
        lifespan: entered while it is served, in the server's event loop.
        token: required of every request; None serves loopback only, without a token.
        public_url: under which a proxy serves it.
        embedding: of tiles in pages of other origins.
    """
    public_origin, prefix = split_public_url(public_url)
    app = FastAPI(
        title=title, docs_url=None, redoc_url=None, lifespan=lifespan, responses=ERROR_DOCS
    )
    app.add_middleware(BodyLimitMiddleware, max_bytes=max_body_bytes)
    if token is None:
        app.add_middleware(LoopbackOnlyMiddleware, embedding=embedding)
    else:
        app.add_middleware(
            TokenAuthMiddleware, token=token, public_origin=public_origin, embedding=embedding
        )
    if prefix:
        app.add_middleware(PrefixMiddleware, prefix=prefix)
    add_error_handlers(app)
    return app


class BodyLimitMiddleware:
    """Answer 413 to a body that is too large and 411 to one of unknown size, before reading it.

    Starlette's own ``RequestBodyLimitMiddleware`` (1.10) can't replace it: it answers a too large
    ``Content-Length`` in plain text, even over an exception handler's response, and only once the
    route reads the body or responds.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request or refuse it."""
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if "transfer-encoding" in headers:
            return error_response(411, "length_required", "send the size as Content-Length")
        # h11 has refused a length that is no number.
        size = int(headers.get("content-length", 0))
        if size <= self._max_bytes:
            return None
        return error_response(
            413, "too_large", f"the body has {size} bytes; at most {self._max_bytes} are accepted"
        )
