"""Looks at a running fleet from outside, as its users do."""

import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import pairwise

import av
import httpx
from av.error import FFmpegError
from pydantic import TypeAdapter, ValidationError

from metabonk.doctor.browser import find_browser, text_of
from metabonk.encoding.sessions import Pools, open_pools
from metabonk.messages import ErrorBody, WorkerStatus
from metabonk.settings import Settings
from metabonk.validation.checks import Decoded, PageSeen, Seen, SessionsSeen, StreamSeen

WATCHED_S = 3.0
TIMEOUT_S = 5.0
WORKERS = TypeAdapter(dict[str, WorkerStatus])


def look(settings: Settings, expected: Iterable[str]) -> Seen:
    """Everything that the checks need; takes some ten seconds.

    Args:
        settings: of the fleet.
        expected: names of the workers that there should be.

    Raises:
        MetaBonkError: the slot directory can't be used.
    """
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        workers = _workers(client, settings)
        # All at once: they are independent, and each takes its time.
        with ThreadPoolExecutor(max(1, len(workers or {}))) as threads:
            statuses = (workers or {}).values()
            streams = dict(zip(workers or {}, threads.map(_stream, statuses), strict=True))
        return Seen(
            expected=tuple(expected),
            fps=settings.stream.effective_fps,
            keyframe_interval_s=settings.stream.keyframe_interval_s,
            workers=workers,
            sessions=_sessions(open_pools(settings)),
            streams=streams,
            page=_page(client, settings),
        )


def _workers(client: httpx.Client, settings: Settings) -> dict[str, WorkerStatus] | None:
    try:
        answer = client.get(f"http://127.0.0.1:{settings.ports.orchestrator}/workers")
        return WORKERS.validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return None


def _sessions(pools: Pools) -> list[SessionsSeen]:
    counted: dict[str, int] = {}
    for gpu in pools.census.gpus:
        if pool := pools.nvenc(gpu.index):
            counted[pool.name] = counted.get(pool.name, 0) + gpu.session_count
    return [
        SessionsSeen(
            pool=usage.pool,
            limit=usage.limit,
            holders=tuple(holder.worker for holder in usage.holders),
            foreign=usage.foreign,
            counted=counted.get(usage.pool),
        )
        for usage in (pool.usage() for pool in pools.all())
    ]


def _stream(status: WorkerStatus) -> StreamSeen:
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        try:
            with client.stream("GET", status.stream_url) as answer:
                if answer.status_code != 200:
                    return _refusal(answer)
            dropped = _dropped(client, status)
            decoded = _decode(status.stream_url)
            lost = _dropped(client, status) - dropped
        except httpx.HTTPError as error:
            return StreamSeen(None, failure=str(error) or type(error).__name__)
        except FFmpegError as error:
            return StreamSeen(200, failure=str(error))
    if isinstance(decoded, str):
        return StreamSeen(200, failure=decoded)
    seconds, frames, damaged, gap, width, height = decoded
    return StreamSeen(200, decoded=Decoded(seconds, frames, damaged, gap, width, height, lost))


def _refusal(answer: httpx.Response) -> StreamSeen:
    try:
        error = ErrorBody.model_validate_json(answer.read()).error
    except ValidationError:
        error = None
    return StreamSeen(answer.status_code, error, "retry-after" in answer.headers)


def _dropped(client: httpx.Client, status: WorkerStatus) -> int:
    address = status.stream_url.removesuffix("/stream.mp4")
    answer = client.get(f"{address}/status").raise_for_status()
    return WorkerStatus.model_validate_json(answer.content).frames_dropped


def _decode(url: str) -> tuple[float, int, int, float | None, int, int] | str:
    """Seconds, frames, damaged ones, longest gap of keyframes, width, height; or why not."""
    times: list[float] = []
    keyframes: list[float] = []
    damaged, width, height = 0, 0, 0
    with av.open(url, timeout=TIMEOUT_S) as container:
        for frame in container.decode(video=0):
            if frame.time is None:
                return "a picture without a time"
            times.append(frame.time)
            damaged += frame.is_corrupt
            width, height = frame.width, frame.height
            if frame.key_frame:
                keyframes.append(frame.time)
            if times[-1] - times[0] >= WATCHED_S:
                break
    if len(times) < 2:
        return f"it ended after {len(times)} pictures"
    gaps = [later - earlier for earlier, later in pairwise(keyframes)]
    # The first picture is the start of the first interval, not one of its pictures.
    seconds = times[-1] - times[0]
    return seconds, len(times) - 1, damaged, max(gaps, default=None), width, height


def _page(client: httpx.Client, settings: Settings) -> PageSeen:
    address = f"http://127.0.0.1:{settings.ports.page}"
    token = settings.access_token
    if token is not None:
        client.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    try:
        answer = client.get(f"{address}/")
        if answer.status_code != 200:
            return PageSeen(answer.status_code)
        assets = _Assets()
        assets.feed(answer.text)
        broken = [
            asset for asset in assets.found if client.get(f"{address}{asset}").status_code != 200
        ]
    except httpx.HTTPError:
        return PageSeen(None)
    # A browser can't be given the token without putting it where other users see it.
    shown = None if token is not None else _shown(f"{address}/")
    return PageSeen(200, tuple(broken), shown)


class _Assets(HTMLParser):
    """Finds what the page loads from its own server."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"script": "src", "link": "href"}.get(tag)
        value = dict(attrs).get(wanted) if wanted else None
        if value and value.startswith("/"):
            self.found.append(value)


def _shown(url: str) -> str | None:
    """The page's text in a headless browser; None where there is none that runs."""
    browser = find_browser()
    if browser is None:
        return None
    try:
        return text_of(browser, url)
    except (OSError, subprocess.SubprocessError):
        return None
