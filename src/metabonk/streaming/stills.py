"""Stills over the connection of a stream: a relay asks for them, the worker answers in order.

A page of many tiles needs many each second, and a request of HTTP for each would take several times
as long as the still itself.
"""

import asyncio
import base64
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from metabonk.messages.streams import StillMessage, StillsRequest
from metabonk.streaming.snapshot import Snapshot

MAX_AGE_S = 0.5
"""Within this time, viewers of one width share a still."""

TIMEOUT_S = 5.0

MAX_UNANSWERED = 16
"""Questions of one relay, which asks for each width once at a time."""


class StillQuestions:
    """A relay's end, for one event loop.

    Args:
        send: sends a text to the worker.
    """

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._asked: dict[int, asyncio.Future[StillMessage]] = {}
        self._unanswered = deque[asyncio.Future[StillMessage]]()

    async def newest(self, max_width: int) -> StillMessage | None:
        """Return the newest still of a width; None while there is none."""
        asked = self._asked.get(max_width)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = self._asked[max_width] = loop.create_future()
            self._unanswered.append(asked)
            loop.call_later(MAX_AGE_S, self._asked.pop, max_width, None)
            await self._send(StillsRequest(max_width=max_width).model_dump_json())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                still = await asyncio.shield(asked)
                return still if still.jpeg else None
        return None

    def answer(self, still: StillMessage) -> None:
        """Take the worker's answer to the oldest question."""
        if self._unanswered:
            self._unanswered.popleft().set_result(still)


class StillAnswers(AbstractContextManager["StillAnswers"]):
    """The worker's end, for one relay.

    Args:
        relay: accepted.
        snapshot: of the stream.
    """

    def __init__(self, relay: WebSocket, snapshot: Snapshot) -> None:
        self._relay = relay
        self._snapshot = snapshot
        self._questions = asyncio.Queue[int](MAX_UNANSWERED)
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "StillAnswers":
        self._task = asyncio.create_task(self._run())
        return self

    def __exit__(self, *error: object) -> Literal[False]:
        assert self._task is not None, "entered before"
        self._task.cancel()
        return False

    def take(self, text: str) -> bool:
        """Take a question; return false if it is none, or one too many."""
        try:
            max_width = StillsRequest.model_validate_json(text).max_width
            if max_width is not None:
                self._questions.put_nowait(max_width)
        except (ValidationError, asyncio.QueueFull):
            return False
        return True

    async def _run(self) -> None:
        while True:
            jpeg = await self._snapshot.jpeg(await self._questions.get())
            still = StillMessage(jpeg=base64.b64encode(jpeg or b"").decode())
            try:
                await self._relay.send_text(still.model_dump_json())
            except (RuntimeError, WebSocketDisconnect):
                return  # It has left.
