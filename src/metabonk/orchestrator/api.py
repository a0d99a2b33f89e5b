"""The HTTP routes of the orchestrator; but for heartbeats, the same on the page's port."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Pool
from metabonk.http.errors import error_response
from metabonk.http.metrics import metrics_routes
from metabonk.messages import (
    Checkpoint,
    CurvePoint,
    Episode,
    ErrorBody,
    Featured,
    Fleet,
    FleetEvent,
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
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.runs.catalog import NoSuchRun, Order, RunCatalog

PERIOD_S = 0.25
QUIET_S = 15.0
"""A comment is sent after so long without an event: proxies end connections that look dead."""

ID = re.compile(r"[0-9]{1,15}")
"""With more digits a page's numbers are not exact."""


def event_routes(journal: EventLog) -> APIRouter:
    """The route over the journal."""
    router = APIRouter()

    @router.get("/api/events", response_class=StreamingResponse, responses={200: EVENT_STREAM})
    async def get_events(
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Events as they happen; those after ``Last-Event-ID`` that are still kept come first."""
        known = ID.fullmatch(last_event_id or "")
        return StreamingResponse(
            _stream(journal, int(known[0]) if known else 0),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


EVENT_STREAM = {
    "description": "one FleetEvent as JSON in each event's data",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


async def _stream(journal: EventLog, last_id: int) -> AsyncIterator[str]:
    """A reader that is slow is behind and no more: nothing waits for it but the journal itself."""
    # An id of another start of the orchestrator says nothing here.
    last_id = last_id if last_id <= journal.last_id else 0
    yield "retry: 1000\n\n"
    quiet_s = 0.0
    while True:
        events = journal.since(last_id)
        for event in events:
            last_id = event.id
            yield _event(event)
        quiet_s = 0.0 if events else quiet_s + PERIOD_S
        if quiet_s >= QUIET_S:
            quiet_s = 0.0
            yield ": nothing has happened\n\n"
        await asyncio.sleep(PERIOD_S)


def _event(event: FleetEvent) -> str:
    return f"id: {event.id}\ndata: {event.model_dump_json()}\n\n"


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

    router.include_router(metrics_routes(metrics))
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


Points = Annotated[int, Query(ge=1, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Worker = Annotated[int | None, Query(ge=0, le=255)]


def history_routes(archive: RunCatalog) -> APIRouter:
    """The routes over the runs."""
    router = APIRouter(responses={404: {"model": ErrorBody, "description": "no such run"}})

    @router.get("/api/runs")
    def get_runs() -> list[RunSummary]:
        """Every run, newest first."""
        return archive.summaries()

    @router.get("/api/runs/{run}/curve")
    def get_run_curve(run: str, points: Points = 500, worker: Worker = None) -> list[CurvePoint]:
        """The learning curve of a run, or of one worker in it."""
        return archive.curve(run, points, worker)

    @router.get("/api/runs/{run}/episodes")
    def get_run_episodes(
        run: str, limit: Limit = 100, order: Order = "newest", worker: Worker = None
    ) -> list[Episode]:
        """Episodes of a run, the newest or the best first."""
        return archive.episodes(run, limit, order=order, worker=worker)

    @router.get("/api/runs/{run}/checkpoints")
    def get_run_checkpoints(run: str) -> list[Checkpoint]:
        """What can be played or resumed of a run."""
        return archive.checkpoints(run)

    return router


def no_such_run(request: Request, error: Exception) -> JSONResponse:
    """The answer for a run that there isn't."""
    assert isinstance(error, NoSuchRun)
    return error_response(404, "no_such_run", str(error))


def pool_statuses(pools: Pools) -> list[PoolStatus]:
    """Every pool that may be used, as it is now, NVENC first; cards that share a limit are one.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    nvenc = [_status(pool, "nvenc", gpus) for pool, gpus in pools.nvenc_pools()]
    return [*nvenc, _status(pools.cpu, "cpu", [])]


def _status(pool: Pool, kind: Literal["nvenc", "cpu"], gpus: Sequence[Gpu]) -> PoolStatus:
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
    others = SlotHolder(slot=None, instance_id=None, pid=None, gpu_index=None, ours=False)
    return PoolStatus(
        pool=kind,
        gpu_index=gpus[0].index if gpus else None,
        gpu_name=gpus[0].name if gpus else None,
        gpu_indices=[gpu.index for gpu in gpus],
        used=usage.used,
        limit=usage.limit,
        holders=[*ours, *[others] * usage.external],
    )


MOST_BYTES = 256 << 10


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a file; none where it doesn't exist yet.

    Args:
        file: text, in any state.
        lines: at most, and no more than fit into ``MOST_BYTES``.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - MOST_BYTES))
            text = stream.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    found = text.splitlines()
    # The first may be half a line.
    return (found[1:] if size > MOST_BYTES else found)[-lines:]
