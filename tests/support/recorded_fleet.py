"""The page in front of recorded answers: any number of workers, and no process behind them."""

import asyncio
import base64
import contextlib
import io
from collections.abc import Sequence

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from PIL import Image

from metabonk.feed_messages import Opening
from metabonk.messages import Featured, Fleet, LearnerStatus, Mode, StreamState, WorkerStatus
from metabonk.orchestrator.page import Page
from metabonk.stream_messages import PolicyMessage, StateMessage, StillMessage
from tests.support.statuses import status

RUN = "20261130-120000-doom-basic"
STILL_S = 1.0
STILL_SIZE = (320, 180)


def recorded_fleet(count: int) -> Fleet:
    """Return a fleet of ``count`` workers in the midst of a training, one of them live."""
    workers = [
        status(
            index,
            stream_state=StreamState.STANDBY if index else StreamState.LIVE,
            stream_backend="" if index else "av:libx264",
            step=10_000 + 97 * index,
            steps_per_s=140.0 + index,
            episode=120 + index,
            episode_return=-3.5 + index,
            policy_version=42,
        )
        for index in range(count)
    ]
    learner = LearnerStatus(
        pid=1,
        uptime_s=600.0,
        policy_version=42,
        steps_trained=90_000,
        steps_per_s=310.0,
        steps_dropped=12,
        updates=90,
        policy_lag=1.5,
        waiting=0.0,
    )
    return Fleet(
        run=RUN,
        game="doom:basic",
        mode=Mode.TRAIN,
        workers={worker.instance_id: worker for worker in workers},
        learner=learner,
        problems=[],
    )


def make_recorded_app(fleet: Fleet) -> FastAPI:
    """Return an application that serves the page, and answers as such a fleet does.

    Every stream is in standby and sends stills, so that a page of many tiles needs no encoder.
    """
    app = FastAPI()
    featured = Featured(live=["omega-0"], rotate_s=30.0, next="omega-1", next_in_s=12.0)
    opening = Opening(fleet=fleet, featured=featured).model_dump_json()

    @app.options("/api/fleet")
    def check_origin() -> None:
        """Accept every page."""

    @app.get("/api/fleet")
    def get_fleet() -> Fleet:
        return fleet

    @app.get("/api/featured")
    def get_featured() -> Featured:
        return featured

    @app.get("/api/trends")
    def get_trends() -> dict[int, list[float]]:
        return {
            worker.worker_index: [step * (worker.worker_index % 5 - 1.5) for step in range(40)]
            for worker in fleet.workers.values()
        }

    for path in ("runs", "curve", "sessions", "episodes"):
        app.get(f"/api/{path}")(_nothing)

    @app.websocket("/api/worker/{instance_id}/stream")
    async def stream(socket: WebSocket, instance_id: str) -> None:
        await socket.accept()
        await socket.send_text(PolicyMessage(actions=[]).model_dump_json())
        reason = "omega-0 has the only session"
        state = StateMessage(state=StreamState.STANDBY, reason=reason)
        await socket.send_text(state.model_dump_json())
        index = fleet.workers[instance_id].worker_index
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            for number in range(10_000):
                await socket.send_text(_still(index, number).model_dump_json())
                await asyncio.sleep(STILL_S)

    app.router.default = Page(opening=lambda: opening)
    return app


def _nothing() -> Sequence[WorkerStatus]:
    return []


def _still(index: int, number: int) -> StillMessage:
    color = (40 * index % 200, 90, 60 + 30 * number % 150)
    file = io.BytesIO()
    Image.new("RGB", STILL_SIZE, color).save(file, "JPEG")
    return StillMessage(jpeg=base64.b64encode(file.getvalue()).decode())
