"""Queue of one viewer, and what it drops when the viewer is too slow. Pure.

A slow viewer never blocks anyone. When its queue is full, whole GOPs are dropped: everything up to
the newest queued keyframe, or up to the next one that arrives. What was sent before stays decodable
(as a GOP cut off at its end), and what is sent next starts with a keyframe. Frames are never
dropped out of the middle, which would show as corruption.
"""

from collections import deque
from collections.abc import Sequence

from metabonk.messages.streams import SaliencyMessage, StateMessage
from metabonk.streaming.gop import Epoch, Fragment, QueueLimits

Item = StateMessage | SaliencyMessage | Epoch | Fragment


class ViewerQueue:
    """Items for one viewer, in order: states, epochs and, after an epoch, its fragments.

    Holds at most one state, one epoch and one saliency map, each replaced by a newer one, and
    fragments up to ``limits``.

    Args:
        limits: for queued fragments.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._state: StateMessage | None = None
        self._epoch: Epoch | None = None
        self._saliency: SaliencyMessage | None = None
        self._fragments: deque[Fragment] = deque()
        self._bytes = 0
        self._awaits_keyframe = True
        self._started = False

    @property
    def started(self) -> bool:
        """True once a keyframe of this epoch was queued, even if it was taken since."""
        return self._started

    def __bool__(self) -> bool:
        return bool(self._state or self._epoch or self._saliency or self._fragments)

    def put_state(self, state: StateMessage) -> None:
        """Queue the stream's state."""
        self._state = state

    def put_epoch(self, epoch: Epoch) -> None:
        """Queue the start of an epoch; everything of the last one becomes worthless."""
        self._clear()
        self._saliency = None
        self._epoch = epoch
        self._started = False

    def put_saliency(self, saliency: SaliencyMessage) -> None:
        """Queue a saliency map."""
        self._saliency = saliency

    def put_gop(self, fragments: Sequence[Fragment]) -> None:
        """Queue the GOP so far, which lets the viewer start in its middle."""
        for fragment in fragments:
            self.put(fragment)

    def put(self, fragment: Fragment) -> bool:
        """Queue a frame, unless the viewer waits for a keyframe and this isn't one.

        Returns:
            True if frames were dropped for it.
        """
        if self._awaits_keyframe and not fragment.keyframe:
            return False
        self._awaits_keyframe = False
        self._started = True
        self._fragments.append(fragment)
        self._bytes += len(fragment.data)
        if not self._is_full():
            return False
        self._drop_to_keyframe()
        return True

    def end(self) -> None:
        """End the stream: queued fragments are still sent, then a keyframe has to come."""
        self._awaits_keyframe = True

    def take(self) -> Item | None:
        """Return the next item, or None if the queue is empty."""
        if self._state is not None:
            state, self._state = self._state, None
            return state
        if self._epoch is not None:
            epoch, self._epoch = self._epoch, None
            return epoch
        if self._saliency is not None:
            saliency, self._saliency = self._saliency, None
            return saliency
        if self._fragments:
            fragment = self._fragments.popleft()
            self._bytes -= len(fragment.data)
            return fragment
        return None

    def _is_full(self) -> bool:
        queued = self._fragments
        return bool(queued) and self._limits.exceeded(queued[0], queued[-1], self._bytes)

    def _drop_to_keyframe(self) -> None:
        """Drop up to the newest queued keyframe, or everything if that isn't enough."""
        newest = max((i for i, f in enumerate(self._fragments) if f.keyframe), default=0)
        for _ in range(newest):
            self._bytes -= len(self._fragments.popleft().data)
        if newest == 0 or self._is_full():
            self._clear()

    def _clear(self) -> None:
        self._fragments.clear()
        self._bytes = 0
        self._awaits_keyframe = True
