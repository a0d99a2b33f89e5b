"""Responses of viewers that follow a replay while it waits and is rendered.

Nothing is sent before there is something to show, so that a refusal is still one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from metabonk.http.disconnect import run_until_disconnect
from metabonk.http.errors import error_response
from metabonk.orchestrator.replays.errors import NoReplay, ReplayFailed
from metabonk.orchestrator.replays.service import Replay, Replays, refuse

THREADS = 4
"""That may wait for the disk of replays, apart from everything else."""

POLL_S = 0.05
CHUNK_BYTES = 64 << 10
RETRY_AFTER_S = 5

VIDEO_TYPE = "video/mp4"
SALIENCY_TYPE = "application/x-ndjson"
NO_STORE = {"Cache-Control": "no-store"}

T = TypeVar("T")


def no_replay(request: Request, error: Exception) -> JSONResponse:
    """Answer where there is no replay."""
    assert isinstance(error, NoReplay)
    retry = {"Retry-After": str(RETRY_AFTER_S)} if error.http_status == 503 else {}
    return error_response(error.http_status, error.code, str(error), NO_STORE | retry)


class Disk:
    """Threads that may wait for the disk."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "replay-files")

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, called on one of the threads.

        Raises:
            ReplayFailed: a file can't be read.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            raise ReplayFailed(f"a file of the replay can't be read: {error}") from None


class Follower:
    """A viewer of a replay that waits or is being rendered."""

    def __init__(self, replays: Replays, key: str, disk: Disk) -> None:
        self.cache = replays.cache
        self.key = key
        self._replays = replays
        self._disk = disk

    async def first(self, read: Callable[[], T | None]) -> T:
        """Return the first result of ``read``.

        Raises:
            NoReplay: the rendering has ended without one.
        """
        found = await self.next(read)
        if found is None:
            raise ReplayFailed("its rendering was stopped; ask again")
        return found

    async def next(self, read: Callable[[], T | None]) -> T | None:
        """Return the next result of ``read``; None if the replay is whole and there is none.

        Raises:
            NoReplay: the rendering has failed, or what was sent is not true.
        """
        while True:
            # Asked before reading: what a whole replay does not have by now, it will never have.
            status = self._replays.progress(self.key)
            refuse(status)
            found = await self._disk.run(read)
            if found is not None or status is None:
                return found
            await asyncio.sleep(POLL_S)


Respond = Callable[[Follower, Send], Coroutine[Any, Any, None]]


class FollowingResponse(Response):
    """Response of a viewer that joins a replay while it is sent.

    Args:
        replays: renders it.
        replay: that is not whole yet.
        disk: for its files.
        respond: sends what the viewer asked for.
    """

    def __init__(self, replays: Replays, replay: Replay, disk: Disk, respond: Respond) -> None:
        super().__init__()
        self._replays = replays
        self._replay = replay
        self._disk = disk
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until all is sent, the rendering fails, or the viewer leaves."""
        await run_until_disconnect(receive, self._serve(scope, receive, send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def begin_and_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            viewer = self._replays.join(self._replay)
            try:
                follower = Follower(self._replays, viewer.key, self._disk)
                await self._respond(follower, begin_and_send)
            finally:
                self._replays.leave(viewer)
        except NoReplay as error:
            # A response that has begun is left incomplete, which tells the client.
            if not has_begun:
                await no_replay(Request(scope), error)(scope, receive, send)


async def send_track(follower: Follower, send: Send) -> None:
    """Send the thoughts, once they are known."""
    track = await follower.first(lambda: follower.cache.read_track(follower.key))
    response = Response(track, media_type="application/json", headers=NO_STORE)
    await send({"type": "http.response.start", "status": 200, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": track})


async def send_video(follower: Follower, send: Send) -> None:
    """Send the video as far as it is written, and then the rest."""
    with contextlib.closing(_GrowingFile(follower, follower.cache.open_video)) as video:
        await _send_growing(follower, video, await follower.first(video.read), VIDEO_TYPE, send)


async def send_saliency(follower: Follower, send: Send) -> None:
    """Send the saliency maps as far as they are made, and then the rest; there may be none."""
    with contextlib.closing(_GrowingFile(follower, follower.cache.open_saliency)) as maps:
        await _send_growing(follower, maps, await follower.next(maps.read), SALIENCY_TYPE, send)


async def _send_growing(
    follower: Follower, file: "_GrowingFile", chunk: bytes | None, media_type: str, send: Send
) -> None:
    """Send a file from its first part on."""
    response = Response(media_type=media_type, headers=NO_STORE)
    del response.headers["content-length"]
    await send({"type": "http.response.start", "status": 200, "headers": response.raw_headers})
    while chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk = await follower.next(file.read)
    await send({"type": "http.response.body", "body": b""})


class _GrowingFile:
    """A file that is written while it is read."""

    def __init__(self, follower: Follower, open_file: Callable[[str], FileIO | None]) -> None:
        self._follower = follower
        self._open = open_file
        self._file: FileIO | None = None

    def read(self) -> bytes | None:
        """Return the next part; None if nothing more is written yet."""
        if self._file is None:
            self._file = self._open(self._follower.key)
        return None if self._file is None else self._file.read(CHUNK_BYTES) or None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
