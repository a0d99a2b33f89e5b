"""Hands what one encoder makes to everyone who watches.

The encoder's side may be called from any thread and never waits for a viewer; viewers live on one
asyncio loop. What happens is decided by ``group`` and ``viewer``, under one lock that is held for
microseconds; a unit wakes the loop once, however many watch.

A new viewer starts with a keyframe that is forced for it: within a frame or two, and without the
fast-forward that replaying an old group looks like. Joins at about the same time share one: who
comes within ``SHARED_S`` after a keyframe starts with that one and the few pictures since. If the
encoder gives none within ``FALLBACK_S``, the viewer gets the group so far.
"""

import asyncio
import base64
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from metabonk.encoding.frame import AccessUnit
from metabonk.messages import SaliencyMessage, StateMessage, StreamState, Thought
from metabonk.streaming.gop import Fragment, GopCache, QueueLimits
from metabonk.streaming.viewer_queue import Item, ViewerQueue
from metabonk.system.rate import Rate

log = logging.getLogger(__name__)

SHARED_S = 0.25
FALLBACK_S = 0.3

REPEAT_S = 0.5
"""Least distance of keyframes that viewers ask for again and again, as those on a bad line do."""

LIMITS = QueueLimits(seconds=3.0, size=8 * 2**20)
"""A viewer three seconds behind watches something else than a live stream; the bytes are twice what
three seconds take at 10 Mbit/s."""


@dataclass(frozen=True, slots=True)
class HubFigures:
    """What was counted; rates are of the last few seconds.

    Attributes:
        fps: access units published per second.
        bitrate: bit/s of them.
        clients: viewers who are joined, those who wait included.
        dedicated_clients: those of them who chose this stream, not the broadcast.
        fragments_sent: pictures fetched by viewers, all together.
        groups_dropped: how often a slow viewer lost pictures up to a keyframe.
    """

    fps: float
    bitrate: float
    clients: int
    dedicated_clients: int
    fragments_sent: int
    groups_dropped: int


class Hub:
    """One stream and its viewers.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cache = GopCache(LIMITS)
        self._state = StateMessage(state=StreamState.STANDBY, reason="nothing was streamed yet")
        self._keyframe_wanted = False
        self._keyframe_at = float("-inf")
        self._keyframe_due = float("inf")
        self._viewers: set[Viewer] = set()
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking = False
        self._units = Rate(clock)
        self._bits = Rate(clock)
        self._fragments_sent = 0
        self._groups_dropped = 0

    @property
    def state(self) -> StateMessage:
        """What the stream does now."""
        return self._state

    def open_epoch(self, width: int, height: int, fps: int) -> None:
        """A new encoder was opened; its first keyframe begins a new epoch for every viewer.

        Args:
            width: of the coded picture, pixels.
            height: of the coded picture, pixels.
            fps: nominal frames per second.
        """
        with self._lock:
            self._cache.open_epoch(width, height, fps)
            self._end_group()
            self._units.restart()
            self._bits.restart()

    def publish(self, unit: AccessUnit, thoughts: Sequence[Thought] = ()) -> None:
        """Passes a unit on to all viewers; newer than the one before.

        Args:
            unit: from the encoder.
            thoughts: of the policy since the unit before.
        """
        with self._lock:
            self._units.count()
            self._bits.count(8 * len(unit.data))
            epoch, fragment = self._cache.add(unit, thoughts)
            if fragment is None:
                self._keyframe_wanted = True
                return
            if fragment.keyframe:
                self._keyframe_wanted = False
                self._keyframe_at = self._clock()
                self._keyframe_due = float("inf")
            for viewer in self._viewers:
                if epoch is not None:
                    viewer.queue.put_epoch(epoch)
                if viewer.queue.put(fragment):
                    self._note_slow(viewer)
            self._wake()

    def set_state(self, state: StreamState, reason: str) -> None:
        """Tells every viewer what the stream does now.

        Any state but ``LIVE`` ends the epoch: nobody who joins is shown an old picture as live.

        Args:
            state: of the stream.
            reason: a sentence for the viewer.
        """
        with self._lock:
            self._state = StateMessage(state=state, reason=reason)
            if state is not StreamState.LIVE:
                self._cache.end()
                self._end_group()
                self._units.restart()
                self._bits.restart()
            for viewer in self._viewers:
                viewer.queue.put_state(self._state)
            self._wake()

    def saliency_wanted(self) -> bool:
        """Whether any viewer wants to see where the network looks."""
        return any(viewer.saliency for viewer in tuple(self._viewers))

    def publish_saliency(
        self, captured_at: float, columns: int, rows: int, cells: bytes, cost: float
    ) -> None:
        """Tells the viewers who want to see it where the network looked.

        Args:
            captured_at: of the picture it looked at, seconds, monotonic.
            columns: of the map.
            rows: of the map.
            cells: ``rows × columns`` bytes, row by row; 255: most.
            cost: share of a core that such maps take, 0 to 1.
        """
        with self._lock:
            if (placed := self._cache.media_time(captured_at)) is None:
                return
            epoch, time = placed
            told = SaliencyMessage(
                epoch=epoch,
                time=time,
                columns=columns,
                rows=rows,
                cells=base64.b64encode(cells).decode(),
                cost=round(cost, 4),
            )
            for viewer in self._viewers:
                if viewer.saliency:
                    viewer.queue.put_saliency(told)
            self._wake()

    def keyframe_wanted(self) -> bool:
        """Whether the next frame should become a keyframe; asked once a frame."""
        with self._lock:
            wanted = self._keyframe_wanted or self._clock() >= self._keyframe_due
            if wanted:
                self._keyframe_wanted, self._keyframe_due = False, float("inf")
            return wanted

    def request_keyframe(self) -> None:
        """A viewer lost a picture: a keyframe for everyone, ``REPEAT_S`` after the last one."""
        with self._lock:
            self._keyframe_due = self._keyframe_at + REPEAT_S

    def join(self, dedicated: bool = True, *, saliency: bool = False) -> "Viewer":
        """A new viewer, on the running loop; it stays joined until it is closed.

        Args:
            dedicated: whether it chose this stream, and not the broadcast.
            saliency: whether it wants to see where the network looks.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._loop is not loop:
                assert not self._viewers, "all viewers of a hub live on one loop"
                self._loop, self._waking = loop, False
            viewer = Viewer(self, next(self._numbers), dedicated, saliency)
            self._viewers.add(viewer)
            viewer.queue.put_state(self._state)
            if self._cache.epoch is not None:
                viewer.queue.put_epoch(self._cache.epoch)
                if self._clock() - self._keyframe_at <= SHARED_S:
                    viewer.queue.put_group(self._cache.group)
                else:
                    self._keyframe_wanted = True
                    loop.call_later(FALLBACK_S, self._fall_back, viewer)
            return viewer

    def figures(self) -> HubFigures:
        """The stream in numbers; any thread may ask."""
        with self._lock:
            return HubFigures(
                fps=self._units.per_second(),
                bitrate=self._bits.per_second(),
                clients=len(self._viewers),
                dedicated_clients=sum(viewer.dedicated for viewer in self._viewers),
                fragments_sent=self._fragments_sent,
                groups_dropped=self._groups_dropped,
            )

    def _take(self, viewer: "Viewer") -> Item | None:
        with self._lock:
            item = viewer.queue.take()
            self._fragments_sent += isinstance(item, Fragment)
            if item is None:
                viewer.slow = False
            return item

    def _leave(self, viewer: "Viewer") -> None:
        with self._lock:
            self._viewers.discard(viewer)

    def _fall_back(self, viewer: "Viewer") -> None:
        with self._lock:
            if viewer not in self._viewers or viewer.queue.started:
                return
            viewer.queue.put_group(self._cache.group)
            self._wake()

    def _end_group(self) -> None:
        for viewer in self._viewers:
            viewer.queue.end()

    def _note_slow(self, viewer: "Viewer") -> None:
        self._groups_dropped += 1
        if not viewer.slow:
            viewer.slow = True
            log.info(
                "viewer %d can't keep up; it skips to a keyframe each time its queue is full",
                viewer.number,
            )

    def _wake(self) -> None:
        if self._loop is None or self._waking or not self._viewers:
            return
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._wake_viewers)
        except RuntimeError:
            # The server has stopped, and its viewers with it; a later one brings a loop of its own.
            self._loop = None
            self._viewers.clear()

    def _wake_viewers(self) -> None:
        with self._lock:
            self._waking = False
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.ready.set()


class Viewer:
    """One who watches, on an asyncio loop.

    Use it as a context manager, so that it leaves however it ends, and iterate over it: states,
    epochs and fragments come in the order of ``ViewerQueue``, for as long as it is joined.
    """

    def __init__(self, hub: Hub, number: int, dedicated: bool, saliency: bool) -> None:
        self.number = number
        self.dedicated = dedicated
        self.saliency = saliency
        self.queue = ViewerQueue(LIMITS)
        self.ready = asyncio.Event()
        self.slow = False
        self._hub = hub

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the hub; may be repeated."""
        self._hub._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """The next item, as soon as there is one; never ends."""
        while True:
            item = self._hub._take(self)
            if item is not None:
                return item
            self.ready.clear()
            await self.ready.wait()
