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
from metabonk.http.server import HttpServer
from metabonk.messages.streams import PolicyMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.clip_http import clip_routes
from metabonk.streaming.http import WAIT_S, stream_routes
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from tests.support.frames import HEIGHT, WIDTH, draw, open_encoder
from tests.support.serving import free_port
from tests.support.waiting import GENEROUS_S, until

FPS = 60
VIEWER_TIMEOUT_S = 3 * GENEROUS_S
POLICY = PolicyMessage(actions=["wait", "go"])


class Stage:
    """One stream on a free port.

    Attributes:
        hub: of the stream.
        frame: the frame that the snapshot shows.
        webrtc: the stream's connections.
        frames: number of encoded frames.
        keyframes: number of keyframes among them.
        times: when each frame was drawn, in monotonic seconds.
        port: of the server.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        viewer_timeout_s: float = VIEWER_TIMEOUT_S,
        limits: ConnectionLimits | None = None,
        wait_s: float = WAIT_S,
        port: int | None = None,
    ) -> None:
        self.hub = Hub()
        self.frame: NDArray[np.uint8] | None = None
        self.webrtc = WebRtc(self.hub, viewer_timeout_s=viewer_timeout_s)
        app = FastAPI(lifespan=self.webrtc.lifespan)
        snapshot = Snapshot(lambda: self.frame)
        app.include_router(stream_routes(self.hub, snapshot, enabled=enabled, wait_s=wait_s))
        app.include_router(
            clip_routes(self.hub, "omega-0-doom:basic", POLICY.actions, wait_s=GENEROUS_S)
        )
        app.include_router(websocket_routes(self.hub, POLICY))
        app.include_router(
            whep_routes(
                self.webrtc, lambda: self.hub.state, "omega-0", enabled=enabled, wait_s=wait_s
            )
        )
        self.port = port or free_port()
        self._server = HttpServer(app, "127.0.0.1", self.port, limits=limits)
        self.frames = 0
        self.keyframes = 0
        self.times: list[float] = []
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
        self.times = []
        live = threading.Event()
        self._encoding = threading.Thread(target=self._encode, args=(size, live))
        self._encoding.start()
        assert live.wait(GENEROUS_S)

    def stop_encoding(self) -> None:
        self._stopped.set()
        if self._encoding is not None:
            self._encoding.join()
            self._encoding = None

    def go_standby(self, reason: str = "another worker is featured") -> None:
        self.stop_encoding()
        self.hub.set_state(StreamState.STANDBY, reason)

    def wait_for_clients(self, count: int) -> None:
        """Wait for less than the time after which a silent viewer is dropped."""
        until(f"{count} clients", lambda: self.hub.stats().clients == count, GENEROUS_S)

    def wait_for_frames_sent(self, count: int = 10) -> None:
        """Wait until the viewers together have been sent ``count`` more frames."""
        before = self.hub.stats().fragments_sent
        until(f"{count} frames sent", lambda: self.hub.stats().fragments_sent >= before + count)

    def _encode(self, size: tuple[int, int], live: threading.Event) -> None:
        encoder = open_encoder(*size)
        self.hub.open_epoch(*size, FPS)
        number, due = 0, time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            frame = Frame(draw(number, *size), time.monotonic())
            self.times.append(frame.captured_at)
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
    viewer_timeout_s: float = VIEWER_TIMEOUT_S,
    limits: ConnectionLimits | None = None,
    wait_s: float = WAIT_S,
    port: int | None = None,
) -> Iterator[Stage]:
    restrict_ice_addresses(["127.0.0.1"])
    opened = Stage(
        enabled=enabled,
        viewer_timeout_s=viewer_timeout_s,
        limits=limits,
        wait_s=wait_s,
        port=port,
    )
    opened._server.start()
    try:
        yield opened
    finally:
        opened.stop_encoding()
        opened._server.stop()
