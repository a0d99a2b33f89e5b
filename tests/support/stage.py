"""A hub behind a real server, fed by a real encoder in its own thread."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from metabonk.frame import Frame
from metabonk.http.connection import ConnectionLimits
from metabonk.http.server import DEFAULT_LIMITS, HttpServer
from metabonk.messages import PolicyMessage, StreamState
from metabonk.streaming.http import stream_routes
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from tests.support.frames import HEIGHT, WIDTH, draw, open_encoder
from tests.support.serving import free_port
from tests.support.waiting import until

FPS = 60
POLICY = PolicyMessage(actions=["wait", "go"])


class Stage:
    """One stream on a free port.

    Attributes:
        hub: of the stream.
        frame: the frame that the snapshot shows.
        webrtc: the stream's connections.
        frames: number of encoded frames.
        keyframes: number of keyframes among them.
        port: of the server.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        viewer_timeout_s: float = 10.0,
        limits: ConnectionLimits = DEFAULT_LIMITS,
    ) -> None:
        self.hub = Hub()
        self.frame: NDArray[np.uint8] | None = None
        self.webrtc = WebRtc(self.hub, viewer_timeout_s=viewer_timeout_s)
        app = FastAPI(lifespan=self.webrtc.lifespan)
        app.include_router(stream_routes(self.hub, Snapshot(lambda: self.frame), enabled=enabled))
        app.include_router(websocket_routes(self.hub, POLICY))
        app.include_router(
            whep_routes(self.webrtc, lambda: self.hub.state, "omega-0", enabled=enabled)
        )
        self.port = free_port()
        self._server = HttpServer(app, "127.0.0.1", self.port, limits=limits)
        self.frames = 0
        self.keyframes = 0
        self._encoding: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        assert self._server.loop is not None
        return self._server.loop

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def go_live(self, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        """Encode at ``FPS``; return once the first frame is published."""
        self._stopped.clear()
        live = threading.Event()
        self._encoding = threading.Thread(target=self._encode, args=(size, live))
        self._encoding.start()
        assert live.wait(5)

    def stop_encoding(self) -> None:
        self._stopped.set()
        if self._encoding is not None:
            self._encoding.join()
            self._encoding = None

    def go_standby(self, reason: str = "another worker is featured") -> None:
        self.stop_encoding()
        self.hub.set_state(StreamState.STANDBY, reason)

    def wait_for_clients(self, count: int, timeout: float = 3.0) -> None:
        until(f"{count} clients", lambda: self.hub.stats().clients == count, timeout)

    def _encode(self, size: tuple[int, int], live: threading.Event) -> None:
        encoder = open_encoder(*size)
        self.hub.open_epoch(*size, FPS)
        number, due = 0, time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            frame = Frame(draw(number, *size), time.monotonic())
            for unit in encoder.encode(frame, keyframe=self.hub.keyframe_wanted()):
                self.hub.publish(unit)
                self.frames += 1
                self.keyframes += unit.keyframe
            if number == 0:
                self.hub.set_state(StreamState.LIVE, "live through av:libx264")
                live.set()
            number, due = number + 1, due + 1 / FPS
        encoder.close()


@contextlib.contextmanager
def stage(
    *,
    enabled: bool = True,
    viewer_timeout_s: float = 10.0,
    limits: ConnectionLimits = DEFAULT_LIMITS,
) -> Iterator[Stage]:
    restrict_ice_addresses(["127.0.0.1"])
    opened = Stage(enabled=enabled, viewer_timeout_s=viewer_timeout_s, limits=limits)
    opened._server.start()
    try:
        yield opened
    finally:
        opened.stop_encoding()
        opened._server.stop()
