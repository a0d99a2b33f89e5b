"""Worker and page with configurable faults, which serve real video."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.streaming import fmp4
from tests.support.frames import encode_frames, regular_times
from tests.support.statuses import status

SIZE = (320, 180)
FPS = 30
PAGE = """<!doctype html><body><div id="root"></div><noscript>JavaScript is off</noscript>
<script type="module" src="/assets/main.js"></script></body>"""
SCRIPT = "document.getElementById('root').textContent = 'omega-0';"


def make_video(
    times: Sequence[float] | None = None,
    *,
    keyframe_interval: int = 2 * FPS,
    damage: Callable[[int, bytes], bytes] = lambda number, data: data,
) -> bytes:
    """Return fragmented MP4.

    Args:
        times: capture times of the frames, seconds; by default four seconds at 30 frames a second.
        keyframe_interval: frames from one keyframe to the next.
        damage: maps a frame's number and data to the data that is sent.
    """
    times = times or regular_times(4 * FPS)
    keyframes = range(0, len(times), keyframe_interval)
    units = encode_frames(times, keyframes=keyframes, size=SIZE)
    parameters = fmp4.parameter_sets(units[0].data)
    assert parameters is not None
    durations = [*(later - earlier for earlier, later in pairwise(times)), 1 / FPS]
    fragments = [
        fmp4.fragment(
            fmp4.length_prefixed(damage(number, unit.data)),
            sequence=number + 1,
            decode_time=round((unit.captured_at - times[0]) * 90_000),
            duration=round(durations[number] * 90_000),
            sync=unit.keyframe,
        )
        for number, unit in enumerate(units)
    ]
    return fmp4.init_segment(parameters, *SIZE) + b"".join(fragments)


@dataclass
class FakeWorker:
    """Responses of a worker.

    Attributes:
        video: body of the stream.
        code: HTTP status of the stream.
        body: JSON body if ``code`` is not 200.
        headers: sent with that body.
        states: stream states that ``/status`` reports in turn; the last one stays.
        dropped_per_request: frames that are lost between two requests of ``/status``.
        port: where it is served.
    """

    video: bytes = b""
    code: int = 200
    body: dict[str, str] = field(
        default_factory=lambda: {"error": "no_encoder_session", "message": "waiting for its turn"}
    )
    headers: dict[str, str] = field(default_factory=lambda: {"Retry-After": "5"})
    states: list[StreamState] = field(default_factory=lambda: [StreamState.LIVE])
    dropped_per_request: int = 0
    port: int = 0
    _requests: int = 0

    @property
    def status(self) -> WorkerStatus:
        """Status that the orchestrator would have."""
        state = self.states[min(self._requests, len(self.states) - 1)]
        address = f"http://127.0.0.1:{self.port}/stream.mp4"
        dropped = self._requests * self.dropped_per_request
        return status(0, stream_state=state, stream_url=address, frames_dropped=dropped)

    def app(self) -> FastAPI:
        """Return the app that serves the responses."""
        app = FastAPI()

        @app.get("/status")
        def get_status() -> WorkerStatus:
            answer = self.status
            self._requests += 1
            return answer

        @app.get("/stream.mp4")
        def get_stream() -> Response:
            if self.code != 200:
                return JSONResponse(self.body, self.code, headers=self.headers)
            return Response(self.video, media_type="video/mp4")

        return app


def make_page(script: str | None = SCRIPT, *, code: int = 200) -> FastAPI:
    """Return an app that serves a page with one script, which is missing if None."""
    app = FastAPI()

    @app.get("/")
    def get_page() -> Response:
        return HTMLResponse(PAGE, code)

    @app.get("/assets/main.js")
    def get_script() -> Response:
        return Response(script or "", 404 if script is None else 200, media_type="text/javascript")

    return app
