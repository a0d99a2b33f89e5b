"""The stream of one encoder: access units, packed once, to all viewers and into the recent past."""

import base64
import time
from collections.abc import Callable, Sequence

from metabonk.encoding.access_unit import AccessUnit
from metabonk.messages.streams import SaliencyMessage, Thought
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Packer
from metabonk.streaming.recent import Gop, RecentGops

RECENT_S = 60.0
RECENT_BYTES = 64 << 20
"""Bound on the past that clips are cut from: a minute at up to 8.9 Mbit/s, less beyond."""


class Hub(Fanout):
    """A fan-out whose stream comes from an encoder of this process.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._packer = Packer()
        self._recent = RecentGops(RECENT_S, RECENT_BYTES)

    def open_epoch(self, width: int, height: int, fps: int) -> None:
        """Let the next keyframe start a new epoch for every viewer, after opening an encoder.

        Args:
            width: of the coded frame, pixels.
            height: of the coded frame, pixels.
            fps: nominal frames per second.
        """
        with self._lock:
            self._packer.open_epoch(width, height, fps)
            self.end_epoch()

    def publish(self, unit: AccessUnit, thoughts: Sequence[Thought] = ()) -> None:
        """Send a unit to all viewers.

        Args:
            unit: from the encoder; captured later than the one before.
            thoughts: of the policy since the unit before.
        """
        with self._lock:
            epoch, fragment = self._packer.add(unit, thoughts)
            if fragment is None:
                self._keyframe_wanted = True
                return
            if epoch is not None:
                self.begin_epoch(epoch)
            assert self._packer.epoch is not None, "a fragment belongs to an epoch"
            self._recent.add(self._packer.epoch, fragment)
            self.send(fragment)

    def end_epoch(self) -> None:
        """End the epoch; the next one starts with a keyframe."""
        with self._lock:
            self._packer.end()
            super().end_epoch()

    def recent(self, seconds: float) -> list[Gop]:
        """Return the last ``seconds`` of pictures, from a keyframe on; empty if none are kept."""
        with self._lock:
            return self._recent.last(seconds)

    def recent_since(self, captured_at: float) -> list[Gop]:
        """Return the pictures since ``captured_at``, seconds, monotonic, as far as they are kept.

        The first is the keyframe before it, where that is kept.
        """
        with self._lock:
            return self._recent.since(captured_at)

    def expire_recent(self) -> None:
        """Free pictures older than ``RECENT_S``; to be called while nothing is published."""
        with self._lock:
            self._recent.expire(self._clock())

    def saliency_wanted(self) -> bool:
        """Tell whether any viewer asked for saliency maps."""
        return self.audience().saliency

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
            if (position := self._packer.media_time(captured_at)) is None:
                return
            epoch, media_time = position
            self.send_saliency(
                SaliencyMessage(
                    epoch=epoch,
                    time=media_time,
                    columns=columns,
                    rows=rows,
                    cells=base64.b64encode(cells).decode(),
                    cost=round(cost, 4),
                )
            )
