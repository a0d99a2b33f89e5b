"""Stills of workers without video: a picture a second, sent over the stream's own connection.

A page with many tiles would otherwise ask for as many pictures each second.
"""

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Literal

import httpx
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from metabonk.messages import StreamState
from metabonk.orchestrator.roster import WorkerAddress
from metabonk.stream_messages import StillMessage, StillsRequest
from metabonk.streaming.fanout import Fanout

INTERVAL_S = 1.0
TIMEOUT_S = 5.0


class Stills:
    """Newest stills by address, each fetched once for all who show it. For one event loop."""

    def __init__(self) -> None:
        self._fetching: dict[tuple[str, int], asyncio.Task[bytes | None]] = {}

    async def newest(
        self, client: httpx.AsyncClient, worker: WorkerAddress, max_width: int
    ) -> bytes | None:
        """Return a worker's newest JPEG, half an interval old at most; None while there is none."""
        key = worker.url, max_width
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(_fetch(client, worker, max_width))
            loop = asyncio.get_running_loop()
            loop.call_later(INTERVAL_S / 2, self._fetching.pop, key, None)
        return await asyncio.shield(task)


class StillSender(AbstractContextManager["StillSender"]):
    """Sends stills to one viewer while its stream has no video.

    Args:
        viewer: accepted, and a viewer of the stream.
        stream: that it shows.
        fetch: returns the newest still of a width, or None.
    """

    def __init__(
        self,
        viewer: WebSocket,
        stream: Fanout,
        fetch: Callable[[int], Awaitable[bytes | None]],
    ) -> None:
        self._viewer = viewer
        self._stream = stream
        self._fetch = fetch
        self._max_width: int | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "StillSender":
        self._task = asyncio.create_task(self._run())
        return self

    def __exit__(self, *error: object) -> Literal[False]:
        assert self._task is not None, "entered before"
        self._task.cancel()
        return False

    def take(self, text: str) -> bool:
        """Take how wide the viewer's stills should be; any other text is a greeting."""
        with contextlib.suppress(ValidationError):
            self._max_width = StillsRequest.model_validate_json(text).max_width
            if self._max_width is None:
                self._wanted.clear()
            else:
                self._wanted.set()
        return True

    async def _run(self) -> None:
        last: tuple[int, bytes] | None = None
        while True:
            await self._wanted.wait()
            width = self._max_width
            if width is not None and self._stream.state.state is not StreamState.LIVE:
                jpeg = await self._fetch(width)
                if jpeg is not None and (width, jpeg) != last:
                    last = width, jpeg
                    still = StillMessage(jpeg=base64.b64encode(jpeg).decode())
                    try:
                        await self._viewer.send_text(still.model_dump_json())
                    except (RuntimeError, WebSocketDisconnect):
                        return  # It has left.
            await asyncio.sleep(INTERVAL_S)


async def _fetch(client: httpx.AsyncClient, worker: WorkerAddress, max_width: int) -> bytes | None:
    try:
        response = await client.get(
            f"{worker.url}/snapshot.jpg",
            params={"max_width": max_width},
            headers=dict(worker.headers),
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError:
        return None  # The worker is starting again.
    return response.content if response.is_success else None
