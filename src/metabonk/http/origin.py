"""Guards against web pages of other sites: the one check of hosts and origins.

A browser on this machine may have somebody else's page open. Such a page can send requests to
loopback addresses, and under a host name of its own that resolves to 127.0.0.1 (DNS rebinding) it
could even read the responses. So a port on loopback serves loopback names only, and no page from
elsewhere: merely opening a stream changes which worker is shown. A port that other machines reach
can't know its own names; it compares origin and host, and asks for a token (``auth``). A proxy in
front may pass on another host than a browser asked for; then only ``public_url`` tells the origin.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metabonk.http.embed import NO_TILES, TILE_PATH, Embedding
from metabonk.http.errors import error_response
from metabonk.settings.schema import LOOPBACK_HOSTS

PROXY_HINT = (
    "if that is the address of a proxy in front of MetaBonk, start it with --public-url and that "
    "address"
)


def is_loopback(authority: str) -> bool:
    """Tell whether a ``Host`` header names this machine by loopback, on any port."""
    return _hostname(f"//{authority}") in LOOPBACK_HOSTS


def loopback_refusal(headers: Headers) -> str | None:
    """Return why a loopback port refuses a request; None if it doesn't."""
    host = headers.get("host", "")
    if not is_loopback(host):
        reason = f"only 127.0.0.1 and localhost are served, not {host[:100]!r}"
        return f"{reason}; {PROXY_HINT}"
    origin = headers.get("origin")
    is_own = origin is not None and _hostname(origin) in LOOPBACK_HOSTS
    return _foreign_page(headers, is_own, ("none", "same-origin", "same-site"))


def same_origin_refusal(headers: Headers, public_origin: str | None = None) -> str | None:
    """Return why a port that other machines reach refuses a request; None if it doesn't.

    To a browser, two ports of one machine are the same site, so ``same-site`` isn't enough.

    Args:
        headers: of the request.
        public_origin: at which a proxy serves the page.
    """
    origin = headers.get("origin", "")
    authority = _authority(origin)
    is_own = authority != "" and authority == headers.get("host", "").lower()
    return _foreign_page(headers, is_own or origin == public_origin, ("none", "same-origin"))


class LoopbackOnlyMiddleware:
    """Answer 403 to foreign host names and to pages of foreign origins.

    Args:
        app: serves the others.
        embedding: lets pages of other origins embed tiles.
    """

    def __init__(self, app: ASGIApp, embedding: Embedding = NO_TILES) -> None:
        self._app = app
        self._embedding = embedding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # Whoever frames a tile, it is asked for by a name of this machine.
        is_tile = self._embedding.frames(scope, headers) and is_loopback(headers.get("host", ""))
        if not is_tile and (reason := loopback_refusal(headers)) is not None:
            await error_response(403, "foreign_origin", reason)(scope, receive, send)
            return
        if scope["path"] == TILE_PATH:
            send = with_headers(send, self._embedding.headers(TILE_PATH))
        await self._app(scope, receive, send)


def with_headers(send: Send, added: Mapping[str, str]) -> Send:
    """Return ``send`` with headers added to each HTTP response."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(added)
        await send(message)

    return send_with_headers


def _foreign_page(headers: Headers, origin_is_own: bool, own_sites: tuple[str, ...]) -> str | None:
    origin = headers.get("origin")
    if origin is not None:
        if origin_is_own:
            return None
        return f"a page of {origin[:100]!r} may not do this; {PROXY_HINT}"
    # Images, videos and frames are requested without Origin, but with Fetch Metadata.
    is_navigation = headers.get("sec-fetch-dest") == "document"
    if is_navigation or headers.get("sec-fetch-site", "none") in own_sites:
        return None
    return "a page of another site may not do this"


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _authority(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""
