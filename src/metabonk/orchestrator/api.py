"""HTTP routes of the orchestrator; all but the heartbeat's are on the page's port as well."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Pool
from metabonk.http.errors import error_response
from metabonk.messages import (
    Checkpoint,
    CurvePoint,
    Episode,
    ErrorBody,
    Featured,
    Fleet,
    Heartbeat,
    HeartbeatReply,
    LogTail,
    PoolStatus,
    RunSummary,
    SlotHolder,
    WorkerStatus,
)
from metabonk.orchestrator.event_log import EventLog
from metabonk.orchestrator.fleet import FleetState
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from metabonk.runs.episodes import Order
from metabonk.system.files import read_tail

MAX_LOG_BYTES = 256 << 10

EVENT_POLL_S = 0.25
RECONNECT_MS = 1000

EVENT_ID = re.compile(r"[0-9]{1,15}")
"""More digits are not exact in a page's numbers."""

Points = Annotated[int, Query(ge=1, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Worker = Annotated[int | None, Query(ge=0, le=255)]
Lines = Annotated[int, Query(ge=1, le=5_000)]


def fleet_routes(state: FleetState, sessions: Callable[[], list[PoolStatus]]) -> APIRouter:
    """Return the routes over the fleet's state.

    Args:
        state: of the fleet.
        sessions: returns the encoder sessions now.
    """
    router = APIRouter()

    @router.get("/workers")
    def get_workers() -> dict[str, WorkerStatus]:
        """Last status of every worker, by instance id."""
        return state.workers()

    @router.get("/api/fleet")
    def get_fleet() -> Fleet:
        """Everything the page's first screen shows."""
        return state.fleet()

    @router.get("/api/featured")
    def get_featured() -> Featured:
        """Live workers and the one that follows."""
        return state.featured()

    @router.get("/api/sessions")
    def get_sessions() -> list[PoolStatus]:
        """Sessions of every encoder, with their holders."""
        return sessions()

    @router.get("/api/worker/{instance_id}/log")
    def get_log(instance_id: str, lines: Lines = 200) -> LogTail:
        """End of a worker's log."""
        _check_worker(state, instance_id)
        text = read_tail(state.settings.paths.logs / f"{instance_id}.log", MAX_LOG_BYTES)
        return LogTail(lines=text.splitlines()[-lines:])

    @router.get("/healthz", response_class=PlainTextResponse)
    def get_health() -> str:
        """Liveness of the process."""
        return "ok\n"

    return router


def heartbeat_routes(state: FleetState) -> APIRouter:
    """Return the route that workers report to."""
    router = APIRouter()

    @router.post("/api/heartbeat")
    def post_heartbeat(heartbeat: Heartbeat) -> HeartbeatReply:
        """Take a worker's report and answer with its desired state."""
        _check_worker(state, heartbeat.status.instance_id)
        return state.heartbeat(heartbeat)

    return router


def run_routes(catalog: RunCatalog) -> APIRouter:
    """Return the routes over runs; the current one's also without its name."""
    router = APIRouter(responses={404: {"model": ErrorBody, "description": "no such run"}})

    @router.get("/api/runs")
    def get_runs() -> list[RunSummary]:
        """Every run, newest first."""
        return catalog.summaries()

    @router.get("/api/runs/{run}/curve")
    def get_run_curve(run: str, points: Points = 500, worker: Worker = None) -> list[CurvePoint]:
        """Learning curve of a run, or of one worker."""
        return catalog.curve(run, points, worker)

    @router.get("/api/runs/{run}/episodes")
    def get_run_episodes(
        run: str, limit: Limit = 100, order: Order = "newest", worker: Worker = None
    ) -> list[Episode]:
        """Episodes of a run, or of one worker, the newest or the best first."""
        return catalog.episodes(run, limit, order=order, worker=worker)

    @router.get("/api/runs/{run}/checkpoints")
    def get_run_checkpoints(run: str) -> list[Checkpoint]:
        """Checkpoints of a run that can be played or resumed."""
        return catalog.checkpoints(run)

    @router.get("/api/curve")
    def get_curve(points: Points = 500, worker: Worker = None) -> list[CurvePoint]:
        """Learning curve of the current run, or of one worker."""
        return catalog.curve(catalog.current, points, worker)

    @router.get("/api/episodes")
    def get_episodes(
        limit: Limit = 100, order: Order = "newest", worker: Worker = None
    ) -> list[Episode]:
        """Episodes of the current run, or of one worker, the newest or the best first."""
        return catalog.episodes(catalog.current, limit, order=order, worker=worker)

    return router


def event_routes(events: EventLog) -> APIRouter:
    """Return the route that streams events (server-sent events, WHATWG HTML, section 9.2)."""
    router = APIRouter()

    @router.get(
        "/api/events",
        response_class=EventSourceResponse,
        response_description="one FleetEvent as JSON in each event's data",
    )
    async def get_events(
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Events as they happen, preceded by those kept since ``Last-Event-ID``."""
        known = EVENT_ID.fullmatch(last_event_id or "")
        last_id = int(known[0]) if known else 0
        if last_id > events.last_id:
            # Of an earlier start of the orchestrator.
            last_id = 0
        yield ServerSentEvent(retry=RECONNECT_MS)
        while True:
            for event in events.since(last_id):
                last_id = event.id
                yield ServerSentEvent(id=str(event.id), data=event)
            await asyncio.sleep(EVENT_POLL_S)

    return router


def episodes_unreadable(request: Request, error: Exception) -> JSONResponse:
    """Answer while the database can't be read."""
    assert isinstance(error, sqlite3.Error)
    message = f"can't read the episodes: {error}; check the disk and try again"
    return error_response(503, "episodes_unreadable", message)


def no_such_run(request: Request, error: Exception) -> JSONResponse:
    """Answer for a run that doesn't exist."""
    assert isinstance(error, NoSuchRun)
    return error_response(404, "no_such_run", str(error))


def pool_statuses(pools: Pools) -> list[PoolStatus]:
    """Return every usable pool, NVENC first; GPUs that share a limit are one.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    nvenc = [_pool_status(pool, "nvenc", gpus) for pool, gpus in pools.nvenc_pools()]
    return [*nvenc, _pool_status(pools.cpu, "cpu", [])]


def _pool_status(pool: Pool, kind: Literal["nvenc", "cpu"], gpus: Sequence[Gpu]) -> PoolStatus:
    usage = pool.usage()
    ours = [
        SlotHolder(
            slot=holder.slot,
            instance_id=holder.worker,
            pid=holder.pid,
            gpu_index=holder.gpu,
            ours=True,
        )
        for holder in usage.holders
    ]
    external = SlotHolder(slot=None, instance_id=None, pid=None, gpu_index=None, ours=False)
    return PoolStatus(
        pool=kind,
        gpu_index=gpus[0].index if gpus else None,
        gpu_name=gpus[0].name if gpus else None,
        gpu_indices=[gpu.index for gpu in gpus],
        used=usage.used,
        limit=usage.limit,
        holders=[*ours, *[external] * usage.external],
    )


def _check_worker(state: FleetState, name: str) -> None:
    if not state.knows(name):
        raise HTTPException(
            404, f"there is no worker {name}; the fleet has {state.settings.workers}"
        )
