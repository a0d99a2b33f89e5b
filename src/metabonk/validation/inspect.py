"""Looks at a running fleet from outside, as its users do."""

import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import av
import httpx
from av.error import FFmpegError
from pydantic import SecretStr, TypeAdapter, ValidationError

from metabonk.doctor.browser import find_browser, text_of
from metabonk.encoding.sessions import Holder, Pools, open_pools
from metabonk.messages import ErrorBody, StreamState, WorkerStatus
from metabonk.settings import Settings
from metabonk.validation.checks import (
    Decoded,
    LeaseSeen,
    PageSeen,
    Seen,
    SessionsSeen,
    StreamSeen,
)

WATCHED_S = 3.0
WATCHES = 3
TIMEOUT_S = 5.0
WORKERS = TypeAdapter(dict[str, WorkerStatus])


def look(settings: Settings, expected: Iterable[str], page: str) -> Seen:
    """Everything that the checks need; takes some ten seconds.

    Workers take turns at being live, so what is held against each other is seen at one moment: a
    worker's word counts only if it was the same before and after.

    Args:
        settings: of the fleet.
        expected: names of the workers that there should be.
        page: its address.

    Raises:
        MetaBonkError: the slot directory can't be used.
    """
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        workers = _workers(client, settings)
        statuses = list((workers or {}).values())
        # All at once: they are independent, and each takes its time.
        with ThreadPoolExecutor(max(1, len(statuses))) as threads:
            before = list(threads.map(_status, statuses))
            sessions = look_at_sessions(open_pools(settings))
            after = list(threads.map(_status, statuses))
            watched_s = max(WATCHED_S, settings.stream.keyframe_interval_s + 1)
            streams = list(threads.map(lambda each: look_at_stream(each, watched_s), statuses))
        return Seen(
            expected=tuple(expected),
            keyframe_interval_s=settings.stream.keyframe_interval_s,
            workers=workers,
            steady=frozenset(
                then.instance_id
                for then, now in zip(before, after, strict=True)
                if then and now and _is_live(then) and _is_live(now)
            ),
            sessions=sessions,
            streams=dict(zip(workers or {}, streams, strict=True)),
            page=look_at_page(client, page, settings.access_token),
        )


def _workers(client: httpx.Client, settings: Settings) -> dict[str, WorkerStatus] | None:
    try:
        answer = client.get(f"http://127.0.0.1:{settings.ports.orchestrator}/workers")
        return WORKERS.validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return None


def _is_live(status: WorkerStatus) -> bool:
    return status.stream_state is StreamState.LIVE


def _status(known: WorkerStatus) -> WorkerStatus | None:
    """What the worker says now, itself; None where it does not answer."""
    address = known.stream_url.removesuffix("/stream.mp4")
    try:
        answer = httpx.get(f"{address}/status", timeout=TIMEOUT_S, trust_env=False)
        return WorkerStatus.model_validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return None


def look_at_sessions(pools: Pools) -> list[SessionsSeen]:
    """Every pool's leases, held against what the driver counts at the same moment.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    before = {pool.name: pool.usage() for pool in pools.all()}
    counted = pools.sessions_counted()
    return [
        SessionsSeen(
            pool=usage.pool,
            limit=usage.limit,
            leases=tuple(_lease(holder, before[usage.pool].holders) for holder in usage.holders),
            foreign=usage.foreign,
            counted=counted.get(usage.pool),
        )
        for usage in (pool.usage() for pool in pools.all())
    ]


def _lease(holder: Holder, before: Sequence[Holder]) -> LeaseSeen:
    return LeaseSeen(
        worker=holder.worker,
        backend=holder.backend,
        open=holder.session_open and holder in before,
        held_s=time.time() - holder.since if holder.since else 0.0,
    )


def look_at_stream(status: WorkerStatus, watched_s: float = WATCHED_S) -> StreamSeen:
    """What a worker answers for its stream, decoded where there is one.

    Args:
        status: of the worker.
        watched_s: seconds of media to decode.
    """
    before = _status(status)
    try:
        with httpx.stream("GET", status.stream_url, timeout=TIMEOUT_S, trust_env=False) as answer:
            code, error = answer.status_code, None
            if code != 200:
                error = _error(answer)
            retry_after = "retry-after" in answer.headers
    except httpx.HTTPError as failure:
        return StreamSeen(None, failure=str(failure) or type(failure).__name__)
    after = _status(status)
    state = after.stream_state if after and before and _same(before, after) else None
    if code != 200:
        return StreamSeen(code, state, error, retry_after)
    try:
        media = _decode(status.stream_url, watched_s)
    except FFmpegError as failure:
        return StreamSeen(code, state, failure=str(failure))
    if isinstance(media, str):
        return StreamSeen(code, state, failure=media)
    end = _status(status)
    dropped = end.frames_dropped - after.frames_dropped if end and after else 0
    return StreamSeen(code, state, decoded=replace(media, dropped=dropped), status=end)


def _same(before: WorkerStatus, after: WorkerStatus) -> bool:
    return before.stream_state is after.stream_state


def _error(answer: httpx.Response) -> str | None:
    try:
        return ErrorBody.model_validate_json(answer.read()).error
    except ValidationError:
        return None


def _decode(url: str, watched_s: float) -> Decoded | str:
    """What so many seconds of it hold; or why nothing can be said.

    Raises:
        FFmpegError: it can't be read or decoded.
    """
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
            if times[-1] - times[0] >= watched_s:
                break
    if len(times) < 2:
        return f"it ended after {len(times)} pictures"
    marks = [times[0], *keyframes, times[-1]]
    return Decoded(
        # The first picture is the start of the first interval, not one of its pictures.
        seconds=times[-1] - times[0],
        frames=len(times) - 1,
        damaged=damaged,
        longest_gap_s=max(later - earlier for earlier, later in pairwise(marks)),
        width=width,
        height=height,
        dropped=0,
    )


def look_at_page(client: httpx.Client, address: str, token: SecretStr | None) -> PageSeen:
    """The page, the files it needs, and what a browser shows of it.

    Args:
        client: asks for it.
        address: of the page.
        token: what it asks for where it is served beyond this machine.
    """
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
