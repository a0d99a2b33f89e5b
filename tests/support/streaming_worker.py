"""A worker and a page that can be broken: served as the real ones are, made of real video."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from metabonk.messages import StreamState, WorkerStatus
from metabonk.streaming import fmp4
from tests.support.frames import encode_frames, regular_times
from tests.support.statuses import status

SIZE = (320, 180)
FPS = 30
PAGE = """<!doctype html><body><div id="root"></div><noscript>JavaScript is off</noscript>
<script type="module" src="/assets/main.js"></script></body>"""
SCRIPT = "document.getElementById('root').textContent = 'omega-0';"


def video(
    times: Sequence[float] | None = None,
    *,
    every: int = 2 * FPS,
    damage: Callable[[int, bytes], bytes] = lambda number, data: data,
) -> bytes:
    """Fragmented MP4 of pictures at ``times``.

    Args:
        times: by default four seconds at 30 frames a second.
        every: a keyframe comes every so many pictures.
        damage: changes a picture's bytes, by its number.
    """
    times = times or regular_times(4 * FPS)
    units = encode_frames(times, keyframes=range(0, len(times), every), size=SIZE)
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
class Worker:
    """What it answers.

    Attributes:
        video: of the stream.
        code: of the stream's answer.
        body: of a refusal.
        states: what it says of itself, one after the other; the last stays.
        dropped_each_time: frames that it loses between two questions.
    """

    video: bytes = b""
    code: int = 200
    body: dict[str, str] = field(
        default_factory=lambda: {"error": "no_encoder_session", "message": "its turn comes"}
    )
    headers: dict[str, str] = field(default_factory=lambda: {"Retry-After": "5"})
    states: list[StreamState] = field(default_factory=lambda: [StreamState.LIVE])
    dropped_each_time: int = 0
    port: int = 0
    _asked: int = 0

    @property
    def status(self) -> WorkerStatus:
        """As the orchestrator would know it."""
        state = self.states[min(self._asked, len(self.states) - 1)]
        address = f"http://127.0.0.1:{self.port}/stream.mp4"
        dropped = self._asked * self.dropped_each_time
        return status(0, stream_state=state, stream_url=address, frames_dropped=dropped)

    def app(self) -> FastAPI:
        """Its server."""
        app = FastAPI()

        @app.get("/status")
        def get_status() -> WorkerStatus:
            answer = self.status
            self._asked += 1
            return answer

        @app.get("/stream.mp4")
        def get_stream() -> Response:
            if self.code != 200:
                return JSONResponse(self.body, self.code, headers=self.headers)
            return Response(self.video, media_type="video/mp4")

        return app


def page(script: str | None = SCRIPT, *, code: int = 200) -> FastAPI:
    """A page with one script; None: it is not there."""
    app = FastAPI()

    @app.get("/")
    def get_page() -> Response:
        return HTMLResponse(PAGE, code)

    @app.get("/assets/main.js")
    def get_script() -> Response:
        return Response(script or "", 404 if script is None else 200, media_type="text/javascript")

    return app
