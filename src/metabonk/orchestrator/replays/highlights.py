"""Routes over the videos of runs' best live episodes."""

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from metabonk.http.errors import error_response
from metabonk.messages.base import ErrorBody
from metabonk.messages.replays import Highlight
from metabonk.messages.workers import instance_id
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.highlight import read_highlight
from metabonk.runs.layout import HIGHLIGHT_VIDEO

NO_CACHE = {"Cache-Control": "no-cache"}


def highlight_routes(catalog: RunCatalog) -> APIRouter:
    """Return the routes over the runs of a catalog."""
    router = APIRouter(
        responses={404: {"model": ErrorBody, "description": "no such run, or no video is kept"}}
    )

    def video(run: str) -> Response:
        folder = catalog.folder(run)
        highlight = read_highlight(folder)
        if highlight is None:
            reason = f"run {run} has no video yet; that of its best live episode is kept"
            return error_response(404, "no_highlight", reason)
        worker = instance_id(highlight.worker_index)
        name = f"{run}-{worker}-episode-{highlight.episode}.mp4"
        return FileResponse(
            folder / HIGHLIGHT_VIDEO,
            media_type="video/mp4",
            filename=name,
            content_disposition_type="inline",
            headers=NO_CACHE,
        )

    @router.get("/api/runs/{run}/highlight")
    def get_highlight(run: str) -> Highlight | None:
        """Best episode of a run that was live; null if none is kept."""
        return read_highlight(catalog.folder(run))

    @router.get("/api/runs/{run}/highlight.mp4", response_class=FileResponse)
    def get_video(run: str) -> Response:
        """Video of the best episode of a run that was live."""
        return video(run)

    @router.head("/api/runs/{run}/highlight.mp4", response_class=FileResponse)
    def head_video(run: str) -> Response:
        """Size of the video."""
        return video(run)

    return router
