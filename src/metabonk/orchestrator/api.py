"""HTTP routes of the orchestrator; all but the heartbeat's are on the page's port as well."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal, TypeVar

import httpx
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import TypeAdapter, ValidationError

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Pool
from metabonk.errors import EncodingError
from metabonk.http.errors import error_response
from metabonk.messages.base import LARGEST_COUNT, ErrorBody
from metabonk.messages.fleet import Featured, Fleet, LogTail
from metabonk.messages.runs import Checkpoint, CurvePoint, Episode, RunSummary
from metabonk.messages.sessions import PoolStatus, SlotHolder
from metabonk.messages.workers import Heartbeat, HeartbeatReply, WorkerStatus
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.runs.catalog import NoSuchEpisode, NoSuchRun, RunCatalog, TakesLong
from metabonk.runs.database import Order
from metabonk.system.log_files import read_log

MAX_LOG_BYTES = 256 << 10
REMOTE_TIMEOUT_S = 5.0

QUICK_THREADS = 2
"""For answers about runs, which take milliseconds; more threads would wait for Python's lock."""

T = TypeVar("T")

RUNS = TypeAdapter(list[RunSummary])
CURVE = TypeAdapter(list[CurvePoint])
TRENDS = TypeAdapter(dict[int, list[float]])
EPISODE = TypeAdapter(Episode)
EPISODES = TypeAdapter(list[Episode])
CHECKPOINTS = TypeAdapter(list[Checkpoint])

Points = Annotated[int, Query(ge=1, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Worker = Annotated[int | None, Query(ge=0, le=255)]
EpisodeId = Annotated[int, Path(ge=0, le=LARGEST_COUNT)]
FleetStep = Annotated[int, Query(ge=0, le=LARGEST_COUNT)]
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
        member = state.roster.find(instance_id)
        if member is None:
            raise HTTPException(404, state.roster.absence(instance_id))
        if (address := state.roster.address_on_node(instance_id)) is not None:
            return remote_log(address, lines)
        text = read_log(state.settings.paths.logs / f"{instance_id}.log", MAX_LOG_BYTES)
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
    async def post_heartbeat(heartbeat: Heartbeat) -> HeartbeatReply:
        """Take a worker's report and answer with its desired state."""
        name = heartbeat.status.instance_id
        if not state.roster.matches(heartbeat.status):
            raise HTTPException(404, state.roster.absence(name))
        if state.store is None:
            return state.heartbeat(heartbeat)
        # To store episodes may wait for the disk.
        return await run_in_threadpool(state.heartbeat, heartbeat)

    return router


def run_routes(catalog: RunCatalog) -> APIRouter:
    """Return the routes over runs; the current one's also without its name.

    They have threads of their own, so that however many viewers ask, heartbeats find one.
    """
    missing = {"model": ErrorBody, "description": "no such run or episode"}
    router = APIRouter(responses={404: missing})
    quick = ThreadPoolExecutor(QUICK_THREADS, "runs")
    patient = ThreadPoolExecutor(1, "runs-patient")

    async def answer(adapter: TypeAdapter[T], query: Callable[[bool], T]) -> Response:
        def body(be_patient: bool) -> bytes:
            return adapter.dump_json(query(be_patient))

        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(quick, body, False)
        except TakesLong:
            content = await loop.run_in_executor(patient, body, True)
        return Response(content, media_type="application/json")

    def curve(run: str, points: int, worker: int | None) -> Awaitable[Response]:
        return answer(CURVE, lambda patient: catalog.curve(run, points, worker, patient=patient))

    def episodes(
        run: str, limit: int, order: Order, worker: int | None, replayable: bool
    ) -> Awaitable[Response]:
        return answer(
            EPISODES,
            lambda patient: catalog.episodes(
                run, limit, order=order, worker=worker, replayable=replayable, patient=patient
            ),
        )

    @router.get("/api/runs", response_model=list[RunSummary])
    async def get_runs() -> Response:
        """Every run, newest first."""
        return await answer(RUNS, lambda patient: catalog.summaries(patient=patient))

    @router.get("/api/runs/{run}/curve", response_model=list[CurvePoint])
    async def get_run_curve(run: str, points: Points = 500, worker: Worker = None) -> Response:
        """Learning curve of a run, or of one worker."""
        return await curve(run, points, worker)

    @router.get("/api/runs/{run}/episodes", response_model=list[Episode])
    async def get_run_episodes(
        run: str,
        limit: Limit = 100,
        order: Order = "newest",
        worker: Worker = None,
        replayable: bool = False,
    ) -> Response:
        """Episodes of a run, or of one worker; on request, only those that can be replayed."""
        return await episodes(run, limit, order, worker, replayable)

    @router.get("/api/runs/{run}/episodes/nearest", response_model=Episode)
    async def get_nearest_episode(
        run: str, fleet_step: FleetStep, worker: Worker = None
    ) -> Response:
        """Replayable episode, of one worker or any, that ended nearest to a step of the fleet."""
        return await answer(EPISODE, lambda patient: catalog.nearest(run, fleet_step, worker))

    @router.get("/api/runs/{run}/episodes/{id}", response_model=Episode)
    async def get_run_episode(run: str, id: EpisodeId) -> Response:
        """One episode of a run."""
        return await answer(EPISODE, lambda patient: catalog.episode(run, id))

    @router.get("/api/runs/{run}/checkpoints", response_model=list[Checkpoint])
    async def get_run_checkpoints(run: str) -> Response:
        """Checkpoints of a run that can be played or resumed."""
        return await answer(CHECKPOINTS, lambda patient: catalog.checkpoints(run))

    @router.get("/api/curve", response_model=list[CurvePoint])
    async def get_curve(points: Points = 500, worker: Worker = None) -> Response:
        """Learning curve of the current run, or of one worker."""
        return await curve(catalog.current, points, worker)

    @router.get("/api/trends", response_model=dict[int, list[float]])
    async def get_trends(points: Points = 40) -> Response:
        """Mean returns of each worker of the current run, by its index."""
        return await answer(
            TRENDS, lambda patient: catalog.trends(catalog.current, points, patient=patient)
        )

    @router.get("/api/episodes", response_model=list[Episode])
    async def get_episodes(
        limit: Limit = 100,
        order: Order = "newest",
        worker: Worker = None,
        replayable: bool = False,
    ) -> Response:
        """Episodes of the current run, or of one worker; see a run's."""
        return await episodes(catalog.current, limit, order, worker, replayable)

    return router


def episodes_unreadable(request: Request, error: Exception) -> JSONResponse:
    """Answer while the database can't be read."""
    assert isinstance(error, sqlite3.Error)
    message = f"can't read the episodes: {error}; check the disk and try again"
    return error_response(503, "episodes_unreadable", message)


def sessions_unreadable(request: Request, error: Exception) -> JSONResponse:
    """Answer while encoder sessions can't be counted."""
    assert isinstance(error, EncodingError)
    return error_response(503, "sessions_unreadable", str(error))


def no_such_run(request: Request, error: Exception) -> JSONResponse:
    """Answer for a run that doesn't exist."""
    assert isinstance(error, NoSuchRun)
    return error_response(404, "no_such_run", str(error))


def no_such_episode(request: Request, error: Exception) -> JSONResponse:
    """Answer for an episode that doesn't exist, or where none can be replayed."""
    assert isinstance(error, NoSuchEpisode)
    return error_response(404, "no_such_episode", str(error))


def remote_log(address: WorkerAddress, lines: int) -> LogTail:
    """Return the end of the log of a worker on a node.

    Raises:
        HTTPException: 502 if the node does not answer.
    """
    try:
        answer = httpx.get(
            f"{address.url}/log",
            params={"lines": lines},
            headers=dict(address.headers),
            timeout=REMOTE_TIMEOUT_S,
            trust_env=False,
            verify=False,  # Plain HTTP: certificates would be loaded for nothing.
        )
        return LogTail.model_validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError) as error:
        reason = str(error) or type(error).__name__
        raise HTTPException(502, f"node {address.node} does not answer: {reason}") from None


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
        note=usage.note,
    )
