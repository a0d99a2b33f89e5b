"""Tiles that pages of chosen origins may embed; nothing else can be framed.

A tile is a page of its own, ``/embed``, with a stream of its own, ``/embed/stream``. Browsers check
who frames it (Content Security Policy, ``frame-ancestors``). They send no cookie from a frame on
another site, so where the token is required the link of a tile has a key: an HMAC-SHA256 of the
stream's name under the token. The key opens that tile and the page's built files, which are the
same everywhere, and is void as soon as the token changes.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.types import Scope

TILE_PATH, STREAM_PATH = "/embed", "/embed/stream"
ASSETS_PATH = "/assets/"
NAME, KEY = "worker", "key"
"""Parameters of a tile's address, and of its stream's."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Access to tiles on one port.

    Attributes:
        origins: of the pages that may embed them.
        token: required of the port's viewers; None on loopback, where tiles need no key.
    """

    origins: tuple[str, ...] = ()
    token: str | None = None

    def path(self, name: str) -> str | None:
        """Return the path of a tile, with its key; None where nobody may embed it."""
        if not self.origins:
            return None
        key = {} if self.token is None else {KEY: embed_key(self.token, name)}
        return f"{TILE_PATH}?{urlencode({NAME: name, **key})}"

    def headers(self, path: str) -> dict[str, str]:
        """Return the headers that say who may frame what is at ``path``."""
        if path != TILE_PATH:
            return {"X-Frame-Options": "DENY"}
        ancestors = " ".join(self.origins) or "'none'"
        return {"Content-Security-Policy": f"frame-ancestors {ancestors}"}

    def frames(self, scope: Scope, headers: Headers) -> bool:
        """Tell whether a browser asks for a tile to show it in a frame."""
        return (
            bool(self.origins)
            and _reads(scope)
            and scope["path"] == TILE_PATH
            and headers.get("sec-fetch-dest") == "iframe"
        )

    def opens(self, scope: Scope, query: Iterable[tuple[str, str]]) -> bool:
        """Tell whether a request needs no token: it is for a tile, and has its key."""
        if not self.origins or self.token is None or not _reads(scope):
            return False
        path = scope["path"]
        if path.startswith(ASSETS_PATH):
            return True
        given = dict(query)
        expected = embed_key(self.token, given.get(NAME, ""))
        has_key = hmac.compare_digest(
            given.get(KEY, "").encode(errors="surrogateescape"), expected.encode()
        )
        return has_key and path in (TILE_PATH, STREAM_PATH)


NO_TILES = Embedding()
"""That of ports other than the page's."""


def embed_key(token: str, name: str) -> str:
    """Return the key of the tile that shows a worker or the program."""
    label = f"metabonk tile of {name}"
    return hmac.digest(token.encode(), label.encode(errors="surrogateescape"), "sha256").hex()


def _reads(scope: Scope) -> bool:
    return scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD")
