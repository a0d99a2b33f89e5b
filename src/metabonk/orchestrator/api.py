"""The HTTP routes of the orchestrator; but for heartbeats, the same on the page's port."""

import sqlite3
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from metabonk.http_app import error_response
from metabonk.messages import (
    CurvePoint,
    Episode,
    Featured,
    Fleet,
    Heartbeat,
    HeartbeatReply,
    LogTail,
    PoolStatus,
    WorkerStatus,
)
from metabonk.orchestrator.history import Limit, Points, Worker
from metabonk.orchestrator.logs import tail
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.state import FleetState


def api_routes(
    state: FleetState, metrics: FleetMetrics, sessions: Callable[[], list[PoolStatus]]
) -> APIRouter:
    """The routes over the fleet's state.

    Args:
        state: of the fleet.
        metrics: of the same.
        sessions: who holds encoder sessions now.
    """
    router = APIRouter()

    @router.get("/workers")
    def get_workers() -> dict[str, WorkerStatus]:
        """Every worker by its name."""
        return state.workers()

    @router.get("/api/fleet")
    def get_fleet() -> Fleet:
        """Everything the page's first screen shows."""
        return state.fleet()

    @router.get("/api/episodes")
    def get_episodes(limit: Limit = 100, worker: Worker = None) -> list[Episode]:
        """The last episodes, of all workers or of one, newest first."""
        return state.episodes(limit, worker)

    @router.get("/api/curve")
    def get_curve(points: Points = 500, worker: Worker = None) -> list[CurvePoint]:
        """The learning curve of the run, or of one worker, in at most so many points."""
        return state.curve(points, worker)

    @router.get("/api/featured")
    def get_featured() -> Featured:
        """Who is shown, and who comes next."""
        return state.featured()

    @router.get("/api/sessions")
    def get_sessions() -> list[PoolStatus]:
        """Encoder sessions and who holds them."""
        return sessions()

    @router.get("/api/worker/{instance_id}/log")
    def get_log(instance_id: str, lines: Annotated[int, Query(ge=1, le=5_000)] = 200) -> LogTail:
        """The end of a worker's log."""
        if not state.knows(instance_id):
            raise HTTPException(404, f"{instance_id} is no worker of this fleet")
        return LogTail(lines=tail(state.settings.paths.logs / f"{instance_id}.log", lines))

    @router.get("/healthz", response_class=PlainTextResponse)
    def get_health() -> str:
        """Answers while the process lives."""
        return "ok\n"

    @router.get("/metrics", response_class=PlainTextResponse)
    def get_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def heartbeat_routes(state: FleetState) -> APIRouter:
    """What workers tell; on the orchestrator's own port alone, since a viewer has nothing to tell.

    Args:
        state: of the fleet.
    """
    router = APIRouter()

    @router.post("/api/heartbeat")
    def post_heartbeat(heartbeat: Heartbeat) -> HeartbeatReply:
        """A worker says how it is, and hears what it should be."""
        name = heartbeat.status.instance_id
        if not state.knows(name):
            raise HTTPException(404, f"{name} is no worker of this fleet")
        return state.heartbeat(heartbeat)

    return router


def episodes_unreadable(request: Request, error: Exception) -> JSONResponse:
    """The answer while the database can't be read."""
    assert isinstance(error, sqlite3.Error)
    return error_response(503, "episodes_unreadable", f"the episodes can't be read now: {error}")
