"""Inspection of a worker's stream, decoded as a player does."""

from dataclasses import replace
from itertools import pairwise

import av
import httpx
from av.error import FFmpegError
from pydantic import ValidationError

from metabonk.messages.base import ErrorBody
from metabonk.messages.workers import WorkerStatus
from metabonk.validation.observations import DecodedVideo, StreamObservation

WATCHED_S = 3.0
TIMEOUT_S = 5.0


def fetch_status(known: WorkerStatus) -> WorkerStatus | None:
    """Ask a worker for its current status; None if it doesn't respond."""
    worker = known.stream_url.removesuffix("/stream.mp4")
    try:
        answer = httpx.get(f"{worker}/status", timeout=TIMEOUT_S, trust_env=False)
        return WorkerStatus.model_validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return None


def inspect_stream(status: WorkerStatus, watched_s: float = WATCHED_S) -> StreamObservation:
    """Request a worker's stream and decode it.

    Args:
        status: of the worker.
        watched_s: media time to decode, seconds.
    """
    before = fetch_status(status)
    try:
        # Nobody who wants to watch: no session is moved for this request.
        parameters = {"wait": "false", "audience": "broadcast"}
        with httpx.stream(
            "GET", status.stream_url, params=parameters, timeout=TIMEOUT_S, trust_env=False
        ) as answer:
            code = answer.status_code
            error = _error(answer) if code != 200 else None
            retry_after = "retry-after" in answer.headers
    except httpx.HTTPError as failure:
        return StreamObservation(None, failure=str(failure) or type(failure).__name__)
    after = fetch_status(status)
    steady = before and after and before.stream_state is after.stream_state
    state = after.stream_state if after and steady else None
    if code != 200:
        return StreamObservation(code, state, error, retry_after)
    try:
        video = _decode(status.stream_url, watched_s)
    except FFmpegError as failure:
        return StreamObservation(code, state, failure=str(failure))
    if isinstance(video, str):
        return StreamObservation(code, state, failure=video)
    end = fetch_status(status)
    dropped = end.frames_dropped - after.frames_dropped if end and after else 0
    return StreamObservation(code, state, video=replace(video, dropped=dropped), status=end)


def _error(answer: httpx.Response) -> str | None:
    try:
        return ErrorBody.model_validate_json(answer.read()).error
    except ValidationError:
        return None


def _decode(url: str, watched_s: float) -> DecodedVideo | str:
    """Decode ``watched_s`` seconds of a stream; return why if that is not possible.

    Raises:
        FFmpegError: it can't be read or decoded.
    """
    times: list[float] = []
    keyframes: list[float] = []
    corrupt, width, height = 0, 0, 0
    with av.open(url, timeout=TIMEOUT_S) as container:
        # FFmpeg's slice threads, PyAV's default, do not report damage.
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            if frame.time is None:
                return "a frame has no timestamp"
            times.append(frame.time)
            corrupt += frame.is_corrupt
            width, height = frame.width, frame.height
            if frame.key_frame:
                keyframes.append(frame.time)
            if times[-1] - times[0] >= watched_s:
                break
    if len(times) < 2:
        return f"it ended after {len(times)} frames"
    marks = [times[0], *keyframes, times[-1]]
    return DecodedVideo(
        # The first frame only starts the first interval.
        seconds=times[-1] - times[0],
        frames=len(times) - 1,
        corrupt=corrupt,
        longest_gap_s=max(later - earlier for earlier, later in pairwise(marks)),
        width=width,
        height=height,
        dropped=0,
    )
