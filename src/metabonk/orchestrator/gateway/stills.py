"""Stills of workers without video: a picture a second, sent over the stream's own connection.

A page with many tiles would otherwise ask for as many pictures each second.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from metabonk.messages.streams import StillMessage, StillsRequest
from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import Fanout

INTERVAL_S = 1.0


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
        fetch: Callable[[int], Awaitable[StillMessage | None]],
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
        last: tuple[int, StillMessage] | None = None
        clock = asyncio.get_running_loop().time
        while True:
            await self._wanted.wait()
            due = clock() + INTERVAL_S
            width = self._max_width
            if width is not None and self._stream.state.state is not StreamState.LIVE:
                still = await self._fetch(width)
                if still is not None and (width, still) != last:
                    last = width, still
                    try:
                        await self._viewer.send_text(still.model_dump_json())
                    except (RuntimeError, WebSocketDisconnect):
                        return  # It has left.
            await asyncio.sleep(max(0.0, due - clock()))
