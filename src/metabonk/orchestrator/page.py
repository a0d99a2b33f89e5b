"""Serves the web page that was built into the package."""

from pathlib import Path

from fastapi import HTTPException, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

PAGE_DIR = Path(__file__).with_name("page")

# Files under assets/ have a hash of their content in their name, so they never change.
FOREVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"


class Page(StaticFiles):
    """The built files; any other path is a page of the application, which ``index.html`` draws.

    Args:
        folder: with ``index.html`` and ``assets/``.
    """

    def __init__(self, folder: Path = PAGE_DIR) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a file; no WebSocket."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or the application.

        Raises:
            HTTPException: 404 for a missing asset or API path, 405 for a method that changes
                anything, 503 while the page has not been built.
        """
        if not (self._folder / "index.html").is_file():
            raise HTTPException(503, "the page is not built; ./start builds it")
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        is_asset = Path(path).parts[:1] == ("assets",)
        if Path(path).parts[:1] == ("api",):
            raise HTTPException(404, "there is no such thing in the API; /openapi.json lists it")
        if is_asset or (path != "." and self._is_file(path)):
            response = await super().get_response(path, scope)
        else:
            response = FileResponse(self._folder / "index.html")
        response.headers["Cache-Control"] = FOREVER if is_asset else ASK_EACH_TIME
        return response

    def _is_file(self, path: str) -> bool:
        try:
            full, status = self.lookup_path(path)
        except (OSError, ValueError):
            return False  # Too long for a file's name, or with a NUL in it.
        # The build's own notes are no part of the page.
        return bool(full) and status is not None and not Path(path).name.startswith(".")
