"""A page under a path of a host that a proxy shares among several programs."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class PrefixMiddleware:
    """Serve an application that knows nothing of its prefix.

    A proxy may remove the prefix or not, and a program on this machine needs none: requests are
    served in either form, and ``Location`` always has it.

    Args:
        app: serves paths without the prefix.
        prefix: such as ``/metabonk``.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_prefix(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/"):
                    headers["location"] = self._prefix + location
            await send(message)

        path = scope["path"]
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path.removeprefix(self._prefix) or "/"}
        await self._app(scope, receive, send_with_prefix)
