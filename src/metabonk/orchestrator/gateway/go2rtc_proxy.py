"""go2rtc's port: its page, API and streams behind the checks of every loopback port.

go2rtc has none of its own (``go2rtc``). Behind a middleware that refuses foreign hosts and origins,
this passes on to its Unix socket, unbuffered, what its page and players need.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidHandshake

from metabonk.http.app import make_http_app
from metabonk.http.disconnect import run_until_disconnect
from metabonk.http.errors import error_response
from metabonk.http.server import HttpServer
from metabonk.orchestrator.gateway.forwarding import (
    ForwardedResponse,
    relay,
)
from metabonk.orchestrator.processes.go2rtc import API_PATHS, NAME, is_used, socket_path
from metabonk.settings import Settings
from metabonk.streaming.relay import MAX_MESSAGE_BYTES, MAX_QUEUED_MESSAGES
from metabonk.streaming.sdp import MAX_OFFER_BYTES

CONNECT_TIMEOUT_S = 2.0
SOCKET_PATH = "/api/ws"

FORWARDED_REQUEST_HEADERS = (
    *("host", "user-agent", "accept", "content-type", "range"),
    *("if-none-match", "if-modified-since"),
)
FORWARDED_RESPONSE_HEADERS = (
    *("content-type", "content-length", "content-range", "accept-ranges", "content-disposition"),
    *("cache-control", "etag", "last-modified", "location", "allow", "accept-post"),
)
"""Without ``Access-Control-*``: no other page may read what go2rtc answers."""


def make_server(settings: Settings) -> HttpServer | None:
    """Return the server of go2rtc's port; None if it isn't used."""
    if not is_used(settings):
        return None
    # Its page sends WebRTC offers as WebSocket messages.
    return HttpServer(
        make_app(socket_path(settings)),
        settings.internal_host,
        settings.ports.go2rtc,
        max_message_bytes=MAX_OFFER_BYTES,
    )


def make_app(socket: Path) -> FastAPI:
    """Return the application of go2rtc's port.

    Args:
        socket: of go2rtc's API.
    """
    proxy = _Proxy(socket)
    app = make_http_app("go2rtc beside MetaBonk", lifespan=proxy.lifespan)
    # Its own documents have these names too, and a route would also take other methods.
    app.router.routes.clear()
    app.router.default = proxy
    return app


class _Proxy:
    """Proxy to a Unix socket, for one event loop."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keep connections while the port is served."""
        transport = httpx.AsyncHTTPTransport(
            uds=self._socket,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
        )
        # A stream is silent for as long as its worker has no encoder session.
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
        # Otherwise one viewer's requests would carry what go2rtc told another's browser to keep.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        async with httpx.AsyncClient(
            transport=transport, timeout=timeout, cookies=no_cookies
        ) as self._client:
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        if scope["type"] == "websocket":
            await self._relay(WebSocket(scope, receive, send))
            return
        # Checked as it is sent, since httpx resolves some dots in a path.
        url = _target(scope)
        if not _is_served(url.path):
            await _not_served(url.path)(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()

        async def forward() -> None:
            await (await self._forward(request, url, body))(scope, receive, send)

        await run_until_disconnect(receive, forward())

    async def _forward(self, request: Request, url: httpx.URL, body: bytes) -> Response:
        assert self._client is not None, "served within its lifespan"
        forwarded = self._client.build_request(
            request.method,
            url,
            headers={
                "Accept-Encoding": "identity",
                **_kept(request.headers, FORWARDED_REQUEST_HEADERS),
            },
            content=body,
        )
        try:
            response = await self._client.send(forwarded, stream=True)
        except httpx.HTTPError as error:
            return _unreachable(error)
        return ForwardedResponse(response, _kept(response.headers, FORWARDED_RESPONSE_HEADERS))

    async def _relay(self, viewer: WebSocket) -> None:
        if viewer.url.path != SOCKET_PATH:
            await viewer.send_denial_response(_not_served(viewer.url.path))
            return
        query = f"?{viewer.url.query}" if viewer.url.query else ""
        try:
            server = await unix_connect(
                self._socket,
                uri=f"ws://{NAME}{SOCKET_PATH}{query}",
                compression=None,
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CONNECT_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUED_MESSAGES,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            await viewer.send_denial_response(_unreachable(error))
            return
        async with server:
            await viewer.accept()
            await relay(server, viewer)


def _target(scope: Scope) -> httpx.URL:
    address = scope["raw_path"]
    if query := scope["query_string"]:
        address += b"?" + query
    return httpx.URL(f"http://{NAME}").copy_with(raw_path=address)


def _is_served(path: str) -> bool:
    """Tell whether a path is passed on.

    ``allow_paths`` in the configuration says the same, but not to versions that don't know it.
    """
    if path in ("/", *API_PATHS):
        return True
    _, *segments = path.split("/")
    return segments[0] != "api" and not {"", ".", ".."} & set(segments)


def _not_served(path: str) -> Response:
    return error_response(403, "not_served", f"{path[:100]} of go2rtc is not served here")


def _kept(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _unreachable(error: Exception) -> Response:
    reason = str(error) or type(error).__name__
    return error_response(
        502,
        "go2rtc_unreachable",
        f"go2rtc does not answer ({reason}); it is starting, or restarting after a crash, and "
        f"logs/{NAME}.log may say why",
        {"Retry-After": "1"},
    )
