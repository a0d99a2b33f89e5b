"""WebRTC for streams of nodes: this process is the peer, since a node need not be in reach.

Each such stream is joined once, as for all its other viewers (``streaming.relay``), and served by
the same WHEP routes that workers have. Imports aiortc; only fleets on many machines import this.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from metabonk.streaming.fanout import Fanout
from metabonk.streaming.relay import Relays, StreamAddress, StreamUnreachable
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.whep import whep_routes

IDLE_S = 10.0
"""From the end of a stream's last connection until it is left."""

CHECK_S = 1.0


class NodeWhep:
    """The WebRTC connections of all streams of nodes, for one event loop.

    Args:
        relays: of this process.
        media_addresses: see ``restrict_ice_addresses``.
        enabled: False if the user has disabled streams.
    """

    def __init__(self, relays: Relays, media_addresses: list[str] | None, *, enabled: bool) -> None:
        restrict_ice_addresses(media_addresses)
        self._relays = relays
        self._enabled = enabled
        self._streams: dict[StreamAddress, _Stream] = {}

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """End every connection when the server stops."""
        yield
        ending = [stream.close() for stream in self._streams.values()]
        await asyncio.gather(*ending, return_exceptions=True)

    def response(
        self,
        name: str,
        address: StreamAddress,
        refuse: Callable[[StreamUnreachable], Response],
    ) -> Response:
        """Return the response to a request for ``/whep`` or below.

        Args:
            name: of the worker.
            address: of its stream.
            refuse: returns the response for a stream that can't be joined.
        """
        stream = self._streams.get(address)
        if stream is None or stream.has_ended:
            stream = _Stream(name, self._relays, address, enabled=self._enabled)
            self._streams = {
                known: each for known, each in self._streams.items() if not each.has_ended
            }
            self._streams[address] = stream
        return _WhepResponse(stream, refuse)


class _Stream:
    """A stream that is joined while it has connections."""

    def __init__(self, name: str, relays: Relays, address: StreamAddress, *, enabled: bool) -> None:
        self.requests = 0
        self._name = name
        self._enabled = enabled
        self._relays = relays
        self._address = address
        self._app: asyncio.Future[FastAPI] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run())

    @property
    def has_ended(self) -> bool:
        return self._running.done()

    def close(self) -> "asyncio.Task[None]":
        self._running.cancel()
        return self._running

    async def app(self) -> FastAPI:
        """Return its application, once it is joined.

        Raises:
            StreamUnreachable: it can't be.
        """
        return await asyncio.shield(self._app)

    async def _run(self) -> None:
        try:
            async with self._relays.join(self._address) as relay:
                webrtc = WebRtc(relay.fanout)
                try:
                    self._app.set_result(self._make_app(webrtc, relay.fanout))
                    idle_s = 0.0
                    while idle_s < IDLE_S and not relay.ended:
                        await asyncio.sleep(CHECK_S)
                        idle_s = 0.0 if self.requests or len(webrtc) else idle_s + CHECK_S
                finally:
                    await webrtc.close_all()
        except StreamUnreachable as error:
            self._app.set_exception(error)

    def _make_app(self, webrtc: WebRtc, fanout: Fanout) -> FastAPI:
        app = FastAPI()
        app.include_router(
            whep_routes(webrtc, lambda: fanout.state, self._name, enabled=self._enabled)
        )
        return app


class _WhepResponse(Response):
    """Response of a stream's own application."""

    def __init__(self, stream: _Stream, refuse: Callable[[StreamUnreachable], Response]) -> None:
        super().__init__()
        self._stream = stream
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        self._stream.requests += 1
        try:
            app = await self._stream.app()
            await app({**scope, "app": app}, receive, send)
        except StreamUnreachable as error:
            await self._refuse(error)(scope, receive, send)
        finally:
            self._stream.requests -= 1
