"""Guards against web pages of other sites: the one check of hosts and origins.

A browser on this machine may have somebody else's page open. Such a page can send requests to
loopback addresses, and under a host name of its own that resolves to 127.0.0.1 (DNS rebinding) it
could even read the responses. So a port on loopback serves loopback names only, and no page from
elsewhere: merely opening a stream changes which worker is shown. A port that other machines reach
can't know its own names; it compares origin and host, and asks for a token (``auth``). A proxy in
front may pass on another host than a browser asked for; then only ``public_url`` tells the origin.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

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
    """Answer 403 to foreign host names and to pages of foreign origins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request or refuse it."""
        if scope["type"] in ("http", "websocket"):
            reason = loopback_refusal(Headers(scope=scope))
            if reason is not None:
                await error_response(403, "foreign_origin", reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)


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
