"""One viewer of a hub, on an asyncio loop."""

import asyncio
from collections.abc import Callable
from typing import Self

from metabonk.streaming.gop import QueueLimits
from metabonk.streaming.viewer_queue import Item, ViewerQueue


class Viewer:
    """A viewer that has joined a hub; the hub alone makes one.

    Use it as a context manager, so that it leaves however it ends, and iterate over it: states,
    epochs and fragments come in the order of ``ViewerQueue``, until it is closed.

    Args:
        number: for the log.
        limits: of its queue.
        dedicated: True if it chose this stream, not the broadcast.
        saliency: True if it wants saliency maps.
        take: takes the next item from a viewer's queue, under the hub's lock.
        leave: removes a viewer from the hub; may be repeated.

    Attributes:
        ready: set by the hub once there may be an item.
        is_slow: True from a full queue until the next empty one.
    """

    def __init__(
        self,
        number: int,
        limits: QueueLimits,
        *,
        dedicated: bool,
        saliency: bool,
        take: Callable[["Viewer"], Item | None],
        leave: Callable[["Viewer"], None],
    ) -> None:
        self.number = number
        self.dedicated = dedicated
        self.saliency = saliency
        self.queue = ViewerQueue(limits)
        self.ready = asyncio.Event()
        self.is_slow = False
        self._take = take
        self._leave = leave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the hub; may be repeated."""
        self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Return the next item as soon as there is one; never ends."""
        while True:
            item = self._take(self)
            if item is not None:
                return item
            self.ready.clear()
            await self.ready.wait()
