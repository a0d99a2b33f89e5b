"""The web page built into the package."""

from collections.abc import Callable
from pathlib import Path

from fastapi import HTTPException, Response
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from metabonk.settings.commands import repair

PAGE_DIR = Path(__file__).with_name("page")

# Names of files under assets/ contain a hash of their content, so they never change.
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"

OPENING, EMPTY = '<script type="application/json" id="opening">', "null"
"""Element of ``index.html``, and its content where nothing is known yet."""


TILE = "embed"
"""Path of a tile that pages elsewhere may embed: a page of its own, which knows no fleet."""


class Page(StaticFiles):
    """Built files; any other path is a page of the application and gets ``index.html``.

    Args:
        folder: contains ``index.html`` and ``assets/``.
        prefix: path under which a proxy serves the page.
        opening: returns what the page shows first, as JSON; see ``Feed.opening``.
    """

    def __init__(
        self,
        folder: Path = PAGE_DIR,
        prefix: str = "",
        opening: Callable[[], str] = lambda: EMPTY,
    ) -> None:
        super().__init__(directory=folder, check_dir=False)
        # Starlette's check would answer 500 to a missing folder; see ``get_response``.
        self.config_checked = True
        self._folder = folder
        self._prefix = prefix
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a file; refuse a WebSocket."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file or the application.

        Raises:
            HTTPException: 404 for a missing asset or API path, 405 for methods other than GET and
                HEAD, 503 if the page has not been built.
        """
        if not (self._folder / "index.html").is_file():
            raise HTTPException(503, f"the page is not built; {repair()} builds it")
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, "only GET and HEAD are allowed", {"Allow": "GET, HEAD"})
        is_asset = Path(path).parts[:1] == ("assets",)
        if Path(path).parts[:1] == ("api",):
            raise HTTPException(404, "there is no such route; /openapi.json lists them")
        if is_asset or (path != "." and self._is_file(path)):
            response = await super().get_response(path, scope)
        else:
            response = HTMLResponse(self._tile() if path == TILE else self._index())
        response.headers["Cache-Control"] = IMMUTABLE if is_asset else REVALIDATE
        return response

    def _index(self) -> str:
        index = self._document("index.html")
        return index.replace(f"{OPENING}{EMPTY}", OPENING + self._opening())

    def _tile(self) -> str:
        return self._document(f"{TILE}.html")

    def _document(self, name: str) -> str:
        text = (self._folder / name).read_text(encoding="utf-8")
        return _with_prefix(text, self._prefix) if self._prefix else text

    def _is_file(self, path: str) -> bool:
        try:
            full, status = self.lookup_path(path)
        except (OSError, ValueError):
            return False  # Too long for a file name, or it contains a NUL.
        # Hidden files are the build's own.
        return bool(full) and status is not None and not Path(path).name.startswith(".")


def _with_prefix(document: str, prefix: str) -> str:
    """Return a page with its files' addresses, and the one it builds others from, prefixed."""
    for attribute in ("src", "href"):
        document = document.replace(f'{attribute}="/', f'{attribute}="{prefix}/')
    return document.replace('name="base-path" content=""', f'name="base-path" content="{prefix}"')
