"""The routes over what has been: runs, their curves, episodes and checkpoints."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from metabonk.http_app import error_response
from metabonk.messages import Checkpoint, CurvePoint, Episode, ErrorBody, RunSummary
from metabonk.orchestrator.archive import Archive, NoSuchRun, Order

Points = Annotated[int, Query(ge=1, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Worker = Annotated[int | None, Query(ge=0, le=255)]


def history_routes(archive: Archive) -> APIRouter:
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
