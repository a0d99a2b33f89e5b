"""One viewer of a stream, on an asyncio loop."""

import asyncio
from collections.abc import Callable
from typing import Literal, Self

from metabonk.messages.streams import AudienceMessage
from metabonk.streaming.gop import QueueLimits
from metabonk.streaming.viewer_queue import Item, ViewerQueue

Audience = Literal["dedicated", "broadcast"]
"""A viewer chose this stream, or watches whatever is shown."""


class Viewer:
    """A viewer that has joined a fan-out, which alone makes one.

    Use it as a context manager, so that it leaves however it ends, and iterate over it: states,
    epochs and fragments come in the order of ``ViewerQueue``, until the stream is closed.

    Args:
        number: for the log.
        limits: of its queue.
        audience: one viewer, or as many as a relay stands for.
        take: takes the next item from a viewer's queue, under the fan-out's lock.
        leave: removes a viewer from the fan-out; may be repeated.

    Attributes:
        ready: set by the fan-out once there may be an item.
        is_slow: True from a full queue until the next empty one.
    """

    def __init__(
        self,
        number: int,
        limits: QueueLimits,
        audience: AudienceMessage,
        *,
        take: Callable[["Viewer"], Item | None],
        leave: Callable[["Viewer"], None],
    ) -> None:
        self.number = number
        self.audience = audience
        self.queue = ViewerQueue(limits)
        self.ready = asyncio.Event()
        self.is_slow = False
        self._ended = False
        self._take = take
        self._leave = leave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the fan-out; may be repeated."""
        self._leave(self)

    def end(self) -> None:
        """Let the iteration end after what is queued."""
        self._ended = True
        self.ready.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Return the next item as soon as there is one.

        Raises:
            StopAsyncIteration: the stream was closed.
        """
        while True:
            item = self._take(self)
            if item is not None:
                return item
            if self._ended:
                raise StopAsyncIteration
            self.ready.clear()
            await self.ready.wait()
