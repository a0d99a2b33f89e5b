"""Token authentication for a port that other machines reach.

Every request needs the token that ``metabonk start`` printed: as ``Authorization: Bearer``, or as
``?token=`` for programs that accept nothing but an address. A browser that sends it in the address
gets a cookie and a redirect to the address without it, which keeps the token out of the history,
the ``Referer`` header and the address bar.

Browsers send cookies to every port of a host name, so whatever else listens there learns this one.
It is therefore derived from the token, which it doesn't reveal; it lets browsers in at this port
only, and only as a cookie.

Browsers send cookies with requests that other sites' pages make, so pages of another origin are
refused (``origin``) and none may embed this one, but for its tiles (``embed``). ``SameSite`` alone
wouldn't do: to a browser, two ports of one machine are the same site.
"""

import hmac
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from metabonk.http.embed import KEY, NO_TILES, Embedding
from metabonk.http.errors import error_response
from metabonk.http.origin import same_origin_refusal, with_headers

PARAMETER = "token"
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
SECURITY_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

TOKEN_HINT = (
    "this page needs the token that 'metabonk start' printed: open the address with ?token=… "
    "exactly as printed"
)
LOGIN_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8>"
    "<meta name=viewport content='width=device-width'><title>MetaBonk</title>"
    "<style>body{font:1rem/1.5 system-ui;max-width:34rem;margin:15vh auto;padding:0 1rem;"
    "background:#0d1014;color:#e8eaed}a{color:#8ab4f8}</style>"
    "<h1>A token is needed</h1>"
    "<p>This page needs the token that <code>metabonk start</code> printed. Open the address with "
    "<code>?token=…</code> exactly as printed; this browser is then remembered.</p>"
    "<p>Have you done that already, and followed a link here? "
    # This page's own path, whatever prefix a proxy has removed from it.
    "<a href='?'>Open it once more.</a></p>"
)


def cookie_value(token: str, port: int) -> str:
    """Return the cookie of a browser that has shown the token; void once the token changes."""
    label = f"metabonk cookie for port {port}"
    return hmac.digest(token.encode(), label.encode(), "sha256").hex()


class TokenAuthMiddleware:
    """Answer 401 to requests without the token and 403 to pages of another origin.

    Args:
        app: sees neither the token nor the cookie.
        token: compared in constant time, as the cookie is.
        public_origin: at which a proxy serves the page.
        embedding: opens tiles without the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        public_origin: str | None = None,
        embedding: Embedding = NO_TILES,
    ) -> None:
        self._app = app
        self._token = token
        self._public_origin = public_origin
        self._embedding = embedding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, redirect it or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = [(name, value) for name, value in pairs if name != PARAMETER]
        in_address = [value for name, value in pairs if name == PARAMETER]
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = cookie_parser(headers.get("cookie", "")).get(_cookie_name(scope), "")
        has_token = any(_equal(given, self._token) for given in (*in_address, bearer))
        is_known = has_token or _equal(cookie, cookie_value(self._token, _port(scope)))

        response: Response
        reason = same_origin_refusal(headers, self._public_origin)
        if reason and not self._embedding.frames(scope, headers):
            response = error_response(403, "foreign_origin", reason, NO_STORE)
        elif not is_known and not self._embedding.opens(scope, query):
            response = self._unauthorized(scope, headers)
        elif in_address and _is_navigation(scope, headers):
            response = self._redirect_without_token(scope, query)
        else:
            security = SECURITY_HEADERS | self._embedding.headers(scope["path"])
            await self._app(_without_secrets(scope, query), receive, with_headers(send, security))
            return
        await response(scope, receive, send)

    def _redirect_without_token(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        # One slash only: to a browser, '//name/' is another machine.
        path = "/" + quote(scope["path"].lstrip("/\\"))
        response = RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303, NO_STORE)
        response.set_cookie(
            _cookie_name(scope),
            cookie_value(self._token, _port(scope)),
            httponly=True,
            samesite="strict",
            secure="https" in (scope["scheme"], (self._public_origin or "").partition(":")[0]),
        )
        return response

    def _unauthorized(self, scope: Scope, headers: Headers) -> Response:
        challenge = {**NO_STORE, "WWW-Authenticate": "Bearer"}
        if not _is_navigation(scope, headers):
            return error_response(401, "token_required", TOKEN_HINT, challenge)
        security = SECURITY_HEADERS | self._embedding.headers(scope["path"])
        return HTMLResponse(LOGIN_PAGE, 401, challenge | security)


def _equal(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _cookie_name(scope: Scope) -> str:
    """Return a name that includes the port: browsers share cookies among a machine's ports."""
    return f"metabonk-{_port(scope)}"


def _port(scope: Scope) -> int:
    """Return the port that is listened on, whatever a proxy in front calls it."""
    return int(scope["server"][1])


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Tell a person opening an address from a program opening a stream."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and "text/html" in headers.get("accept", "")
    )


def _without_secrets(scope: Scope, query: list[tuple[str, str]]) -> Scope:
    """Return the request as the application, and so any log behind it, may see it."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"authorization", b"cookie")
    ]
    public = [(name, value) for name, value in query if name != KEY]
    return {**scope, "headers": kept, "query_string": urlencode(public).encode()}
