"""Limits on the responses that a server has open at a time.

A response may be endless: a stream, the events, a WebSocket. Each holds a descriptor, and through
the page's gateway a second one to the worker. Whoever may open them must not be able to take all,
which would end everything else that the process does.
"""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metabonk.http.connection import ConnectionLimits
from metabonk.http.errors import error_response

RETRY_AFTER_S = 5


class AdmissionMiddleware:
    """Answer 503 to a request beyond ``max_open``, and to an endless one beyond ``max_endless``.

    A response is endless if it declares no ``Content-Length``, which is known only once it begins.

    Args:
        app: serves the admitted requests.
        limits: of the server.
    """

    def __init__(self, app: ASGIApp, limits: ConnectionLimits) -> None:
        self._app = app
        self._limits = limits
        self._open = 0
        self._endless = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._open >= self._limits.max_open:
            await _refusal(self._limits.max_open)(scope, receive, send)
        else:
            self._open += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._open -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_endless = False

        async def admit() -> None:
            nonlocal is_endless
            if self._endless >= self._limits.max_endless:
                await _refusal(self._limits.max_endless)(scope, receive, send)
                raise _Refused
            is_endless = True
            self._endless += 1

        async def send_if_admitted(message: Message) -> None:
            if not is_endless and _begins_endless(scope, message):
                await admit()
            await send(message)

        try:
            if scope["type"] == "websocket":
                await admit()
            await self._app(scope, receive, send_if_admitted)
        except* _Refused:
            pass
        finally:
            self._endless -= is_endless


class _Refused(Exception):
    """Ends the application's work on a response that was not admitted."""


def _begins_endless(scope: Scope, message: Message) -> bool:
    return (
        message["type"] == "http.response.start"
        and message["status"] == 200
        and scope["method"] != "HEAD"
        and "content-length" not in Headers(raw=message["headers"])
    )


def _refusal(limit: int) -> Response:
    return error_response(
        503,
        "too_many_viewers",
        f"{limit} responses are open, which is the limit; close some, or try again later",
        {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"},
    )
