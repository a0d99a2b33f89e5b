"""HTTP routes of replays, on the page's port only: a viewer can make this machine render."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse

from metabonk.messages.base import LARGEST_COUNT, ErrorBody
from metabonk.messages.replays import ReplayStatus, ReplayTrack, parse_video_size
from metabonk.orchestrator.replays.finder import ReplayFinder, ReplayKind
from metabonk.orchestrator.replays.response import (
    NO_STORE,
    SALIENCY_TYPE,
    VIDEO_TYPE,
    Disk,
    FollowingResponse,
    send_saliency,
    send_track,
    send_video,
)
from metabonk.orchestrator.replays.service import Replay, Replays
from metabonk.runs.render_files import SALIENCY_SUFFIX

DEFAULT_SIZE = "1280x720"
MIN_SIZE, MAX_SIZE = (160, 120), (1920, 1080)

REVALIDATE = {"Cache-Control": "no-cache"}

REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "no such run or episode, or its log is not kept"},
    409: {"model": ErrorBody, "description": "repeated, the episode did not come out as it was"},
    503: {"model": ErrorBody, "description": "it failed, or too many are waiting; says why"},
}
VIDEO_DOC = {200: {"content": {VIDEO_TYPE: {}}}, **REFUSALS}
TRACK_DOC = {200: {"model": ReplayTrack}, **REFUSALS}
SALIENCY_DOC = {200: {"content": {SALIENCY_TYPE: {}}}, **REFUSALS}

EpisodeId = Annotated[int, Path(ge=0, le=LARGEST_COUNT)]
Size = Annotated[
    str, Query(pattern="^[0-9]{3,4}x[0-9]{3,4}$", description="of the video, pixels; even")
]


def replay_routes(finder: ReplayFinder, replays: Replays) -> APIRouter:
    """Return the routes of replays, and of rematches: the newest policy on an episode's seed.

    Args:
        finder: finds what they are made of.
        replays: renders them.
    """
    router = APIRouter()
    disk = Disk()
    _add_routes(router, "replay", finder, replays, disk)
    _add_routes(router, "rematch", finder, replays, disk)
    return router


def _add_routes(
    router: APIRouter, kind: ReplayKind, finder: ReplayFinder, replays: Replays, disk: Disk
) -> None:
    path = f"/api/runs/{{run}}/episodes/{{episode}}/{kind}"
    cache = replays.cache

    async def find(run: str, episode: int, size: str) -> Replay:
        pixels = _parse(size)
        return await disk.run(lambda: finder.find(kind, run, episode, pixels))

    @router.get(path, responses=REFUSALS, name=f"get_{kind}")
    async def get_status(run: str, episode: EpisodeId, size: Size = DEFAULT_SIZE) -> ReplayStatus:
        """State of the video, which is rendered once it is asked for."""
        replay = await find(run, episode, size)
        return await disk.run(lambda: replays.status(replay))

    @router.get(f"{path}.json", responses=TRACK_DOC, name=f"get_{kind}_track")
    async def get_track(run: str, episode: EpisodeId, size: Size = DEFAULT_SIZE) -> Response:
        """Thoughts in step with the video, once its renderer has begun."""
        replay = await find(run, episode, size)
        if await disk.run(lambda: cache.whole(replay.key)) is None:
            return FollowingResponse(replays, replay, disk, send_track)
        track = await disk.run(lambda: cache.read_track(replay.key))
        return Response(track, media_type="application/json", headers=REVALIDATE)

    @router.get(f"{path}.saliency", responses=SALIENCY_DOC, name=f"get_{kind}_saliency")
    async def get_saliency(run: str, episode: EpisodeId, size: Size = DEFAULT_SIZE) -> Response:
        """Saliency maps in step with the video, sent while they are made; empty without any."""
        replay = await find(run, episode, size)
        video = await disk.run(lambda: cache.whole(replay.key))
        if video is None:
            return FollowingResponse(replays, replay, disk, send_saliency)
        maps = video.with_suffix(SALIENCY_SUFFIX)
        return FileResponse(maps, headers=REVALIDATE, media_type=SALIENCY_TYPE)

    # One route per method, since one for several has a single operation id in OpenAPI.
    @router.head(f"{path}.mp4", responses=VIDEO_DOC, name=f"head_{kind}_video")
    @router.get(f"{path}.mp4", responses=VIDEO_DOC, name=f"get_{kind}_video")
    async def get_video(
        request: Request, run: str, episode: EpisodeId, size: Size = DEFAULT_SIZE
    ) -> Response:
        """Fragmented MP4, H.264, sent while it is rendered; once whole, in parts as well."""
        replay = await find(run, episode, size)
        headers = {"ETag": f'"{replay.key}"', **REVALIDATE}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        file = await disk.run(lambda: cache.whole(replay.key))
        if file is not None:
            return FileResponse(file, headers=headers, media_type=VIDEO_TYPE)
        if request.method == "GET":
            return FollowingResponse(replays, replay, disk, send_video)
        response = Response(media_type=VIDEO_TYPE, headers=NO_STORE)
        del response.headers["content-length"]
        return response


def _parse(size: str) -> tuple[int, int]:
    """Return width and height, pixels.

    Raises:
        HTTPException: 422 if a side is odd or out of bounds.
    """
    try:
        return parse_video_size(size, MIN_SIZE, MAX_SIZE)
    except ValueError as error:
        raise HTTPException(422, f"size {error}") from None
