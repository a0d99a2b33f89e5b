"""The HTTP routes of the orchestrator; the same on its own port and on the page's."""

import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from metabonk.http_app import error_response
from metabonk.messages import (
    CurvePoint,
    Episode,
    ErrorBody,
    Fleet,
    Heartbeat,
    HeartbeatReply,
    WorkerStatus,
)
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.state import FleetState

REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "says what is wrong with the request"}
}


def api_routes(state: FleetState, metrics: FleetMetrics) -> APIRouter:
    """The routes over the fleet's state."""
    router = APIRouter(responses=REFUSALS)

    @router.get("/workers")
    def get_workers() -> dict[str, WorkerStatus]:
        """Every worker by its name."""
        return state.workers()

    @router.get("/api/fleet")
    def get_fleet() -> Fleet:
        """Everything the page's first screen shows."""
        return state.fleet()

    @router.get("/api/episodes")
    def get_episodes(limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[Episode]:
        """The last episodes, newest first."""
        return state.episodes(limit)

    @router.get("/api/curve")
    def get_curve(points: Annotated[int, Query(ge=1, le=10_000)] = 500) -> list[CurvePoint]:
        """The learning curve of the run, in at most so many points."""
        return state.curve(points)

    @router.post("/api/heartbeat")
    def post_heartbeat(heartbeat: Heartbeat) -> HeartbeatReply:
        """A worker says how it is, and hears what it should be."""
        status = heartbeat.status
        if status.instance_id != f"omega-{status.worker_index}":
            raise HTTPException(400, f"worker {status.worker_index} is not {status.instance_id}")
        if not state.knows(status.instance_id):
            raise HTTPException(404, f"{status.instance_id} is no worker of this fleet")
        return state.heartbeat(heartbeat)

    @router.get("/healthz", response_class=PlainTextResponse)
    def get_health() -> str:
        """Answers while the process lives."""
        return "ok\n"

    @router.get("/metrics")
    def get_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def episodes_unreadable(request: Request, error: Exception) -> JSONResponse:
    """The answer while the database can't be read."""
    assert isinstance(error, sqlite3.Error)
    return error_response(503, "episodes_unreadable", f"the episodes can't be read now: {error}")
