"""The page in front of recorded answers: any number of workers, and no process behind them."""

import asyncio
import base64
import contextlib
import io
from collections.abc import Sequence

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from PIL import Image

from metabonk.messages.feed import Opening
from metabonk.messages.fleet import Featured, Fleet
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.runs import CurvePoint, LearningCurves, RunNotes, RunSummary
from metabonk.messages.streams import PolicyMessage, StateMessage, StillMessage
from metabonk.messages.workers import Mode, StreamState, WorkerStatus
from metabonk.orchestrator.page import Page
from tests.support.statuses import status

RUN = "20261130-120000-doom-basic"
RUNS = (RUN, "20261129-090000-doom-basic")
STARTED_AT = 1_790_000_000.0
POINTS = 800
RECORDED = {
    "episode/length": 120.0,
    "learner/steps_per_s": 320.0,
    "update/entropy": 1.1,
    "update/explained_variance": 0.9,
    "update/kl": 0.01,
    "update/clip_fraction": 0.15,
    "update/policy": -0.02,
    "update/value": 0.4,
}
"""Names of curves, and about their first values."""

STILL_S = 1.0
STILL_SIZE = (320, 180)


def recorded_fleet(count: int) -> Fleet:
    """Return a fleet of ``count`` workers in the midst of a training."""
    workers = [
        status(
            index,
            stream_state=StreamState.STANDBY,
            stream_backend="",
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
    featured = Featured(live=[], rotate_s=30.0, next="omega-0", next_in_s=12.0)
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

    @app.get("/api/runs")
    def get_runs() -> list[RunSummary]:
        return [_summary(run, current=run == RUN) for run in RUNS]

    @app.get("/api/curve")
    @app.get("/api/runs/{run}/curve")
    def get_curve(run: str = RUN) -> list[CurvePoint]:
        return [
            CurvePoint(
                fleet_step=100 * number,
                ended_at=STARTED_AT + 2 * number,
                mean_return=_noisy(80 * number / (number + 200 + len(run)), 12, number),
                episodes=3,
            )
            for number in range(POINTS)
        ]

    @app.get("/api/runs/{run}/learning")
    def get_learning(run: str) -> LearningCurves:
        steps = [1024 * number for number in range(1, POINTS)]
        values = {
            name: [_noisy(first * 0.998**number, first / 5, number) for number in range(1, POINTS)]
            for name, first in RECORDED.items()
        }
        return LearningCurves(
            steps=steps, times=[STARTED_AT + step / 300 for step in steps], values={**values}
        )

    @app.get("/api/runs/{run}/settings")
    def get_settings(run: str) -> dict[str, str]:
        return {"game": "doom:basic", "learning.gamma": "0.99" if run == RUN else "0.95"}

    for path in ("sessions", "episodes", "runs/{run}/episodes", "runs/{run}/checkpoints"):
        app.get(f"/api/{path}")(_nothing)

    @app.websocket("/api/worker/{instance_id}/stream")
    async def stream(socket: WebSocket, instance_id: str) -> None:
        await socket.accept()
        await socket.send_text(PolicyMessage(actions=[]).model_dump_json())
        reason = "another program has the only session"
        state = StateMessage(state=StreamState.STANDBY, reason=reason)
        await socket.send_text(state.model_dump_json())
        index = fleet.workers[instance_id].worker_index
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            for number in range(10_000):
                await socket.send_text(_still(index, number).model_dump_json())
                await asyncio.sleep(STILL_S)

    app.router.default = Page(opening=lambda: opening)
    return app


def _summary(run: str, *, current: bool) -> RunSummary:
    return RunSummary(
        run=run,
        game="doom:basic",
        started_at=STARTED_AT,
        updated_at=STARTED_AT + 2 * POINTS,
        episodes=3 * POINTS,
        steps=100 * POINTS,
        best_return=95.0,
        recent_return=61.5,
        current=current,
        notes=RunNotes() if current else RunNotes(title="shorter horizon", tags=["sweep"]),
    )


def _noisy(value: float, amplitude: float, number: int) -> float:
    return value + amplitude * (number * 7919 % 100 / 50 - 1)


def _nothing() -> Sequence[WorkerStatus]:
    return []


def _still(index: int, number: int) -> StillMessage:
    color = (40 * index % 200, 90, 60 + 30 * number % 150)
    file = io.BytesIO()
    Image.new("RGB", STILL_SIZE, color).save(file, "JPEG")
    return StillMessage(jpeg=base64.b64encode(file.getvalue()).decode())
