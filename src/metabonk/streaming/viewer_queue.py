"""What waits for one viewer, and what is dropped when the viewer is too slow. Pure.

A viewer never makes anyone wait. When the queue is full, whole groups go: everything up to the
newest keyframe that waits, or up to the next one that comes. What was sent before stays decodable
(a group cut off at its end is), and what is sent next starts with a keyframe; pictures are never
taken out of the middle, which would show as corruption.
"""

from collections import deque
from collections.abc import Sequence

from metabonk.messages import SaliencyMessage, StateMessage
from metabonk.streaming.gop import Epoch, Fragment, QueueLimits

Item = StateMessage | SaliencyMessage | Epoch | Fragment


class ViewerQueue:
    """What one viewer gets, in order: states, epochs and, after an epoch, its fragments.

    At most one state, one epoch, one saliency map and ``limits`` of fragments wait: a newer
    one of the first three takes the place of one that was not fetched yet.

    Args:
        limits: when fragments are dropped.
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
        """Whether the viewer got a keyframe of this epoch, queued or fetched."""
        return self._started

    def __bool__(self) -> bool:
        return bool(self._state or self._epoch or self._saliency or self._fragments)

    def put_state(self, state: StateMessage) -> None:
        """Tells the viewer what the stream does now."""
        self._state = state

    def put_epoch(self, epoch: Epoch) -> None:
        """Begins an epoch; fragments of the last one are worth nothing any more."""
        self._clear()
        self._saliency = None
        self._epoch = epoch
        self._started = False

    def put_saliency(self, saliency: SaliencyMessage) -> None:
        """Tells the viewer where the network looked."""
        self._saliency = saliency

    def put_group(self, group: Sequence[Fragment]) -> None:
        """Lets the viewer start in the middle of a group, with all of it so far."""
        for fragment in group:
            self.put(fragment)

    def put(self, fragment: Fragment) -> bool:
        """Queues a picture, unless the viewer waits for a keyframe and this isn't one.

        Returns:
            Whether pictures were dropped for it.
        """
        if self._awaits_keyframe and not fragment.keyframe:
            return False
        self._awaits_keyframe = False
        self._started = True
        self._fragments.append(fragment)
        self._bytes += len(fragment.data)
        if not self._full():
            return False
        self._shed()
        return True

    def end(self) -> None:
        """The stream ended: what waits still goes out, and then a keyframe has to come."""
        self._awaits_keyframe = True

    def take(self) -> Item | None:
        """The next item, or None where nothing waits."""
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

    def _full(self) -> bool:
        waiting = self._fragments
        return bool(waiting) and self._limits.exceeded(waiting[0], waiting[-1], self._bytes)

    def _shed(self) -> None:
        """Drops up to the newest keyframe that waits, if that makes room; else everything."""
        newest = max((i for i, f in enumerate(self._fragments) if f.keyframe), default=0)
        for _ in range(newest):
            self._bytes -= len(self._fragments.popleft().data)
        if newest == 0 or self._full():
            self._clear()

    def _clear(self) -> None:
        self._fragments.clear()
        self._bytes = 0
        self._awaits_keyframe = True
