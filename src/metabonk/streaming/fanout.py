"""Fan-out of one stream to its viewers.

The stream's side may be called from any thread and never waits for a viewer; viewers live on one
asyncio loop. ``viewer_queue`` makes the decisions, under one lock that is held for microseconds. A
frame wakes the loop once, however many viewers there are.

A new viewer starts with a keyframe forced for it: within a frame or two, and without the
fast-forward that replaying an old GOP looks like. Viewers who join at about the same time share
one: within ``KEYFRAME_REUSE_S`` after a keyframe, a viewer starts with that one and the few frames
since. If none comes within ``KEYFRAME_TIMEOUT_S``, the viewer gets the GOP so far.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from metabonk.messages.streams import AudienceMessage, SaliencyMessage, StateMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.gop import CurrentGop, Epoch, Fragment, QueueLimits
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
class FanoutStats:
    """Counters of one stream; rates cover the last few seconds.

    Attributes:
        fps: frames sent per second.
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


class Fanout:
    """One stream and its viewers.

    Args:
        clock: seconds, monotonic.
        on_audience: called on the viewers' loop whenever ``audience`` may have changed.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        on_audience: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._on_audience = on_audience
        self._lock = threading.RLock()
        self._state = StateMessage(state=StreamState.STANDBY, reason="nothing was streamed yet")
        self._epoch: Epoch | None = None
        self._gop = CurrentGop(QUEUE_LIMITS)
        self._keyframe_wanted = False
        self._keyframe_at = float("-inf")
        self._keyframe_due = float("inf")
        self._viewers: set[Viewer] = set()
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking = False
        self._closed = False
        self._frames = Rate(clock)
        self._bits = Rate(clock)
        self._fragments_sent = 0
        self._gops_dropped = 0

    @property
    def state(self) -> StateMessage:
        """State of the stream now, and why."""
        return self._state

    def begin_epoch(self, epoch: Epoch) -> None:
        """Start an epoch for every viewer; its first fragment has to be a keyframe."""
        with self._lock:
            self._epoch = epoch
            self._gop.clear()
            for viewer in self._viewers:
                viewer.queue.put_epoch(epoch)
            self._wake()

    def send(self, fragment: Fragment) -> None:
        """Send a frame of the current epoch to all viewers; outside an epoch, drop it."""
        with self._lock:
            if self._epoch is None:
                return
            self._frames.count()
            self._bits.count(8 * len(fragment.unit.data))
            self._gop.add(fragment)
            if fragment.keyframe:
                self._keyframe_wanted = False
                self._keyframe_at = self._clock()
                self._keyframe_due = float("inf")
            for viewer in self._viewers:
                if viewer.queue.put(fragment):
                    self._note_slow(viewer)
            self._wake()

    def end_epoch(self) -> None:
        """End the epoch: what is queued is still sent, but no one else gets it."""
        with self._lock:
            self._epoch = None
            self._gop.clear()
            for viewer in self._viewers:
                viewer.queue.end()
            self._frames.restart()
            self._bits.restart()

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
                self.end_epoch()
            for viewer in self._viewers:
                viewer.queue.put_state(self._state)
            self._wake()

    def send_saliency(self, saliency: SaliencyMessage) -> None:
        """Send a saliency map to the viewers who asked for them."""
        with self._lock:
            for viewer in self._viewers:
                if viewer.audience.saliency:
                    viewer.queue.put_saliency(saliency)
            self._wake()

    def close(self) -> None:
        """Let every viewer's iteration end, also that of one who joins later."""
        with self._lock:
            self._closed = True
            for viewer in self._viewers:
                viewer.end()

    def audience(self) -> AudienceMessage:
        """Return the viewers, counted; thread-safe."""
        with self._lock:
            each = [viewer.audience for viewer in self._viewers]
            return AudienceMessage(
                dedicated=sum(audience.dedicated for audience in each),
                broadcast=sum(audience.broadcast for audience in each),
                saliency=any(audience.saliency for audience in each),
            )

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
        one = AudienceMessage(
            dedicated=int(dedicated), broadcast=int(not dedicated), saliency=saliency
        )
        return self.join_for(one)

    def join_for(self, audience: AudienceMessage) -> Viewer:
        """Add a viewer on the running loop that stands for any number of them."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._loop is not loop:
                assert not self._viewers, "all viewers of a stream live on one loop"
                self._loop, self._waking = loop, False
            viewer = Viewer(
                next(self._numbers), QUEUE_LIMITS, audience, take=self._take, leave=self._leave
            )
            self._viewers.add(viewer)
            viewer.queue.put_state(self._state)
            if self._epoch is not None:
                viewer.queue.put_epoch(self._epoch)
                if self._is_keyframe_recent():
                    viewer.queue.put_gop(self._gop.fragments)
                elif self._gop.started:
                    self._keyframe_wanted = True
                    loop.call_later(KEYFRAME_TIMEOUT_S, self._fall_back, viewer)
            if self._closed:
                viewer.end()
        self._on_audience()
        return viewer

    def change_audience(self, viewer: Viewer, audience: AudienceMessage) -> None:
        """Change whom a viewer stands for; some of them may have to start with a keyframe."""
        with self._lock:
            viewer.audience = audience
            if audience.keyframe and not self._is_keyframe_recent():
                self._keyframe_wanted = True
        self._on_audience()

    def stats(self) -> FanoutStats:
        """Return the counters; thread-safe."""
        with self._lock:
            audience = self.audience()
            return FanoutStats(
                fps=self._frames.per_second(),
                bitrate=self._bits.per_second(),
                clients=audience.dedicated + audience.broadcast,
                dedicated_clients=audience.dedicated,
                fragments_sent=self._fragments_sent,
                gops_dropped=self._gops_dropped,
            )

    def _is_keyframe_recent(self) -> bool:
        return self._clock() - self._keyframe_at <= KEYFRAME_REUSE_S

    def _take(self, viewer: Viewer) -> Item | None:
        with self._lock:
            item = viewer.queue.take()
            self._fragments_sent += isinstance(item, Fragment)
            if item is None:
                viewer.is_slow = False
            return item

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            if viewer not in self._viewers:
                return
            self._viewers.remove(viewer)
        self._on_audience()

    def _fall_back(self, viewer: Viewer) -> None:
        """Start a viewer with the GOP so far, if no keyframe came in time."""
        with self._lock:
            if viewer not in self._viewers or viewer.queue.started:
                return
            viewer.queue.put_gop(self._gop.fragments)
            self._wake()

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
