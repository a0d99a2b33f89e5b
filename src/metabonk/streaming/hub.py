"""Fan-out from one encoder to all viewers.

The encoder's side may be called from any thread and never waits for a viewer; viewers live on one
asyncio loop. ``gop`` and ``viewer_queue`` make the decisions, under one lock that is held for
microseconds. A unit wakes the loop once, however many viewers there are.

A new viewer starts with a keyframe forced for it: within a frame or two, and without the
fast-forward that replaying an old GOP looks like. Viewers who join at about the same time share
one: within ``KEYFRAME_REUSE_S`` after a keyframe, a viewer starts with that one and the few frames
since. If the encoder delivers none within ``KEYFRAME_TIMEOUT_S``, the viewer gets the GOP so far.
"""

import asyncio
import base64
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metabonk.encoding.access_unit import AccessUnit
from metabonk.messages import SaliencyMessage, StateMessage, StreamState, Thought
from metabonk.streaming.gop import Fragment, GopCache, QueueLimits
from metabonk.streaming.viewer import Viewer
from metabonk.streaming.viewer_queue import Item
from metabonk.system.rate import Rate

log = logging.getLogger(__name__)

KEYFRAME_REUSE_S = 0.25
KEYFRAME_TIMEOUT_S = 0.3

MIN_KEYFRAME_INTERVAL_S = 0.5
"""Least interval between keyframes requested after losses: a bad line requests them constantly."""

QUEUE_LIMITS = QueueLimits(seconds=3.0, size=8 * 2**20)
"""Beyond three seconds a viewer is no longer watching live; the size is twice what three seconds
take at 10 Mbit/s."""


@dataclass(frozen=True, slots=True)
class HubStats:
    """Counters of one stream; rates cover the last few seconds.

    Attributes:
        fps: access units published per second.
        bitrate: bit/s of them.
        clients: viewers joined, including those who wait.
        dedicated_clients: those who chose this stream, not the broadcast.
        fragments_sent: to all viewers together.
        gops_dropped: times that a slow viewer lost frames up to a keyframe.
    """

    fps: float
    bitrate: float
    clients: int
    dedicated_clients: int
    fragments_sent: int
    gops_dropped: int


class Hub:
    """One stream and its viewers.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cache = GopCache(QUEUE_LIMITS)
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
        self._gops_dropped = 0

    @property
    def state(self) -> StateMessage:
        """State of the stream now, and why."""
        return self._state

    def open_epoch(self, width: int, height: int, fps: int) -> None:
        """Let the next keyframe start a new epoch for every viewer, after opening an encoder.

        Args:
            width: of the coded frame, pixels.
            height: of the coded frame, pixels.
            fps: nominal frames per second.
        """
        with self._lock:
            self._cache.open_epoch(width, height, fps)
            self._end_stream()

    def publish(self, unit: AccessUnit, thoughts: Sequence[Thought] = ()) -> None:
        """Send a unit to all viewers.

        Args:
            unit: from the encoder; captured later than the one before.
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
        """Set the stream's state and report it to every viewer.

        Any state but ``LIVE`` ends the epoch, so that no one who joins sees an old frame as live.

        Args:
            state: of the stream.
            reason: a sentence for viewers.
        """
        with self._lock:
            self._state = StateMessage(state=state, reason=reason)
            if state is not StreamState.LIVE:
                self._cache.end()
                self._end_stream()
            for viewer in self._viewers:
                viewer.queue.put_state(self._state)
            self._wake()

    def saliency_wanted(self) -> bool:
        """Tell whether any viewer asked for saliency maps."""
        return any(viewer.saliency for viewer in tuple(self._viewers))

    def publish_saliency(
        self, captured_at: float, columns: int, rows: int, cells: bytes, cost: float
    ) -> None:
        """Send a saliency map to the viewers who asked for them.

        Args:
            captured_at: of the frame that it is about, seconds, monotonic.
            columns: of the map.
            rows: of the map.
            cells: ``rows × columns`` bytes, row by row; 255 is the highest saliency.
            cost: share of a core that the maps take, 0 to 1.
        """
        with self._lock:
            if (position := self._cache.media_time(captured_at)) is None:
                return
            epoch, time = position
            message = SaliencyMessage(
                epoch=epoch,
                time=time,
                columns=columns,
                rows=rows,
                cells=base64.b64encode(cells).decode(),
                cost=round(cost, 4),
            )
            for viewer in self._viewers:
                if viewer.saliency:
                    viewer.queue.put_saliency(message)
            self._wake()

    def keyframe_wanted(self) -> bool:
        """Tell whether the next frame should be a keyframe; call it once a frame."""
        with self._lock:
            wanted = self._keyframe_wanted or self._clock() >= self._keyframe_due
            if wanted:
                self._keyframe_wanted, self._keyframe_due = False, float("inf")
            return wanted

    def request_keyframe(self) -> None:
        """Request a keyframe for a viewer that lost a frame.

        Comes no sooner than ``MIN_KEYFRAME_INTERVAL_S`` after the last, and goes to everyone.
        """
        with self._lock:
            self._keyframe_due = self._keyframe_at + MIN_KEYFRAME_INTERVAL_S

    def join(self, dedicated: bool = True, *, saliency: bool = False) -> Viewer:
        """Add a viewer on the running loop; it stays until it is closed.

        Args:
            dedicated: True if it chose this stream, not the broadcast.
            saliency: True if it wants saliency maps.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._loop is not loop:
                assert not self._viewers, "all viewers of a hub live on one loop"
                self._loop, self._waking = loop, False
            viewer = Viewer(
                next(self._numbers),
                QUEUE_LIMITS,
                dedicated=dedicated,
                saliency=saliency,
                take=self._take,
                leave=self._leave,
            )
            self._viewers.add(viewer)
            viewer.queue.put_state(self._state)
            if self._cache.epoch is not None:
                viewer.queue.put_epoch(self._cache.epoch)
                if self._clock() - self._keyframe_at <= KEYFRAME_REUSE_S:
                    viewer.queue.put_gop(self._cache.fragments)
                else:
                    self._keyframe_wanted = True
                    loop.call_later(KEYFRAME_TIMEOUT_S, self._fall_back, viewer)
            return viewer

    def stats(self) -> HubStats:
        """Return the counters; thread-safe."""
        with self._lock:
            return HubStats(
                fps=self._units.per_second(),
                bitrate=self._bits.per_second(),
                clients=len(self._viewers),
                dedicated_clients=sum(viewer.dedicated for viewer in self._viewers),
                fragments_sent=self._fragments_sent,
                gops_dropped=self._gops_dropped,
            )

    def _take(self, viewer: Viewer) -> Item | None:
        with self._lock:
            item = viewer.queue.take()
            self._fragments_sent += isinstance(item, Fragment)
            if item is None:
                viewer.is_slow = False
            return item

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.discard(viewer)

    def _fall_back(self, viewer: Viewer) -> None:
        """Start a viewer with the GOP so far, if no keyframe came in time."""
        with self._lock:
            if viewer not in self._viewers or viewer.queue.started:
                return
            viewer.queue.put_gop(self._cache.fragments)
            self._wake()

    def _end_stream(self) -> None:
        for viewer in self._viewers:
            viewer.queue.end()
        self._units.restart()
        self._bits.restart()

    def _note_slow(self, viewer: Viewer) -> None:
        self._gops_dropped += 1
        if not viewer.is_slow:
            viewer.is_slow = True
            log.info("viewer %d is too slow: skipping to the next keyframe", viewer.number)

    def _wake(self) -> None:
        if self._loop is None or self._waking or not self._viewers:
            return
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._wake_viewers)
        except RuntimeError:
            # The server has stopped and its viewers with it; a later one has its own loop.
            self._loop = None
            self._viewers.clear()

    def _wake_viewers(self) -> None:
        with self._lock:
            self._waking = False
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.ready.set()
