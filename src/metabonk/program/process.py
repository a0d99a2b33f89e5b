"""The program's process."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from metabonk.http.app import make_http_app
from metabonk.http.server import HttpServer
from metabonk.messages.program import PROGRAM, RunningOrder
from metabonk.messages.streams import PolicyMessage
from metabonk.program.channel import Channel
from metabonk.settings import Settings
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from metabonk.system.process import SERVING_NICE, StopSignal, lower_priority

log = logging.getLogger(__name__)

ORDER_TIMEOUT_S = 2.0


def run(settings: Settings, port: int) -> None:
    """Serve the program until SIGTERM.

    Args:
        settings: of the fleet.
        port: to listen on.

    Raises:
        MetaBonkError: it can't be served.
    """
    stop = StopSignal()
    stop.watch_threads()
    # Live streams come first, which are what it shows.
    lower_priority(SERVING_NICE)
    restrict_ice_addresses(settings.media_addresses)
    server = HttpServer(make_app(settings), settings.internal_host, port)
    server.start()
    log.info("serves the program on port %d (pid %d)", port, os.getpid())
    stop.wait()
    server.stop()
    stop.raise_failure()
    log.info("stops")


def make_app(settings: Settings) -> FastAPI:
    """Return the application of the program's port."""
    orchestrator = settings.internal_authority(settings.ports.orchestrator)
    client = httpx.AsyncClient(timeout=ORDER_TIMEOUT_S, trust_env=False)

    async def order() -> RunningOrder | None:
        try:
            response = await client.get(f"http://{orchestrator}/api/program/order")
            return RunningOrder.model_validate_json(response.raise_for_status().content)
        except (httpx.HTTPError, ValidationError) as error:
            log.warning("what is to be shown is not known: %s", error or type(error).__name__)
            return None

    channel = Channel(settings.stream, order)
    webrtc = WebRtc(channel.fanout)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client, channel.lifespan(app), webrtc.lifespan(app):
            yield

    app = make_http_app("The program of MetaBonk", lifespan=lifespan)
    enabled = settings.stream.enabled
    app.include_router(websocket_routes(channel.fanout, PolicyMessage(actions=[])))
    app.include_router(whep_routes(webrtc, lambda: channel.fanout.state, PROGRAM, enabled=enabled))

    @app.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Liveness of the program; it is restarted if this does not answer."""
        if channel.has_failed:
            raise HTTPException(500, "an internal error has ended the program")
        return "ok\n"

    return app
