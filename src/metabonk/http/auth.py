"""Who may use a port that other machines reach: whoever knows the token that the start printed.

Every request needs it, whatever it asks for: as a cookie, as ``Authorization: Bearer``, or as
``?token=`` for programs that take nothing but an address. A browser that comes with it in the
address gets it as a cookie, and is sent on to the same address without it, so that it stays in no
history, no ``Referer`` and on no screen.

A cookie goes along with whatever a browser asks, also for somebody else's page. So nothing is
served to a page of another origin, and none may show this one inside itself. ``SameSite`` alone
would not do: to a browser, two ports of one machine are the same site.
"""

import hmac
from html import escape
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metabonk.messages import ErrorBody

PARAMETER = "token"
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
SECURITY_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

TOKEN_HINT = (
    "this page asks for the token that 'metabonk start' printed: open the address with ?token=… "
    "as it is printed there"
)


class TokenAuthMiddleware:
    """Answers 401 to whoever doesn't know the token, and 403 to a page of another origin.

    Args:
        app: sees neither the token nor the cookie.
        token: compared in constant time.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = [(name, value) for name, value in asked if name != PARAMETER]
        in_address = [value for name, value in asked if name == PARAMETER]
        cookie = _cookie_name(scope)
        given = [*in_address, cookie_parser(headers.get("cookie", "")).get(cookie, "")]
        given.append(headers.get("authorization", "").removeprefix("Bearer "))

        if origin := _foreign_origin(headers):
            refused: Response = _error(403, "foreign_origin", f"a page of {origin} may not do this")
        elif not any(self._is_right(each) for each in given):
            refused = _unknown(scope, headers)
        elif in_address and _is_visit(scope, headers):
            refused = self._sent_on(scope, query, cookie)
        else:
            await self._app(_without_secrets(scope, query), receive, _ours_alone(send))
            return
        await refused(scope, receive, send)

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)

    def _sent_on(self, scope: Scope, query: list[tuple[str, str]], cookie: str) -> Response:
        """To the same address without the token, which the browser keeps as a cookie."""
        # One slash: to a browser, '//name/' is another machine.
        path = "/" + quote(scope["path"].lstrip("/\\"))
        answer = RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303, NO_STORE)
        answer.set_cookie(
            cookie,
            self._token.decode(),
            httponly=True,
            samesite="strict",
            secure=scope["scheme"] == "https",
        )
        return answer


def _cookie_name(scope: Scope) -> str:
    """A name for each port: browsers keep the cookies of all ports of a machine together."""
    return f"metabonk-{scope['server'][1]}"


def _foreign_origin(headers: Headers) -> str | None:
    """The origin of a page that isn't ours, where the browser says that one asks."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            ours = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            ours = False
        return None if ours and urlsplit(origin).netloc else repr(origin[:100])
    # Without an origin of its own: pictures, scripts and frames of other pages (Fetch Metadata).
    site = headers.get("sec-fetch-site", "none")
    visited = headers.get("sec-fetch-dest") == "document"
    return None if site in ("none", "same-origin") or visited else "another origin"


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """Whether a person opens an address, and not a program a stream."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and "text/html" in headers.get("accept", "")
    )


def _without_secrets(scope: Scope, query: list[tuple[str, str]]) -> Scope:
    """The request as the application sees it, and so as anything behind it may log it."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"authorization", b"cookie")
    ]
    return {**scope, "headers": kept, "query_string": urlencode(query).encode()}


def _ours_alone(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(SECURITY_HEADERS)
        await send(message)

    return with_headers


def _unknown(scope: Scope, headers: Headers) -> Response:
    if not _is_visit(scope, headers):
        return _error(401, "token_required", TOKEN_HINT, {"WWW-Authenticate": "Bearer"})
    again = escape(quote(scope["path"]) if not scope["path"].startswith("//") else "/")
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>MetaBonk</title>"
        "<style>body{font:1rem/1.5 system-ui;max-width:34rem;margin:15vh auto;padding:0 1rem;"
        "background:#0d1014;color:#e8eaed}a{color:#8ab4f8}</style>"
        "<h1>A token is needed</h1>"
        "<p>This page asks for the token that <code>metabonk start</code> printed. Open the "
        "address with <code>?token=…</code> as it is printed there; this browser is then known."
        "</p><p>You did so before, and came here by a link? "
        f"<a href='{again}'>Open it once more.</a></p>"
    )
    return HTMLResponse(page, 401, {**NO_STORE, **SECURITY_HEADERS, "WWW-Authenticate": "Bearer"})


def _error(
    status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = ErrorBody(error=error, message=message).model_dump()
    return JSONResponse(body, status, {**NO_STORE, **(headers or {})})
