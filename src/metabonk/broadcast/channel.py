"""A ring that is made when it is needed, and that can't hurt the trainer."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.hub import seek_hub
from metabonk.broadcast.pixels import fit_bytes
from metabonk.broadcast.places import CAPACITY, SMALL_CAPACITY, create_ring
from metabonk.broadcast.records import FRAME_SIZE, Pending, encode_batch, encode_frame
from metabonk.broadcast.ring_layout import MAX_CAPACITY, entry_size
from metabonk.broadcast.ring_writer import ClosedRing, RingClosed, RingWriter
from metabonk.errors import StartError

log = logging.getLogger(__name__)

SWITCH = "METABONK_BROADCAST"
"""Environment variable; 0: nothing is broadcast."""

PAGE = 4096

MAX_RECORD = MAX_CAPACITY // 4
"""Bytes of a frame that a ring is made for; larger ones are made smaller."""

BATCH_S = 0.05
BATCH_BYTES = 1 << 13
"""Records are encoded and written to the ring together, since each costs a step the more of the
processor's cache: after this time, or when there are so many."""

LOOK_S = 0.2
"""Between two looks for the hub."""

STEP_BYTES = 17
"""Size of a step with a number as its action."""

P = ParamSpec("P")
T = TypeVar("T")


class Channel:
    """Way from a trainer to those who watch it.

    Attributes:
        ring: that records are written to; a closed one until ``open``.
    """

    def __init__(self) -> None:
        self._announcement: Announcement | None = None
        self._is_off = os.environ.get(SWITCH) == "0"
        self.ring: RingWriter | ClosedRing = ClosedRing()
        self._batch = list[Pending]()
        self._batch_bytes = 0
        self._batch_until_s = 0.0
        self._next_end_s = 0.0
        self._next_look_s = 0.0
        self._can_grow = True

    @property
    def is_due(self) -> bool:
        """True if ``open`` has something to do: to make the ring, or to look for the hub."""
        return not self.ring.is_open or time.monotonic() >= self._next_look_s

    def open(self, announce: Callable[[], Announcement]) -> None:
        """Make the ring, unless that was done in this process, is switched off, or failed.

        Args:
            announce: returns what is said of it.

        Raises:
            StartError: there is no room for it.
        """
        if not self.ring.is_open and not self._is_off:
            self._create(announce(), (CAPACITY, SMALL_CAPACITY))
        if self.ring.is_open:
            seek_hub()
            self._next_look_s = time.monotonic() + LOOK_S

    def attempt(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a function; if it fails, warn, and broadcast nothing any more.

        Returns:
            What the function returns; None if it failed, or the ring is closed.
        """
        try:
            return function(*args, **kwargs)
        except RingClosed:
            return None
        except Exception as error:  # The trainer goes on, whatever it is.
            log.debug("broadcasting failed", exc_info=error)
            self._fail(error)
            return None

    def add(self, record: Pending, size: int = STEP_BYTES) -> bool:
        """Add a record to the batch, and write that to the ring when it is time.

        Args:
            record: to add.
            size: of it, bytes, about.

        Returns:
            Whether it was written.

        Raises:
            RingClosed: there is no ring.
            StartError: there is no room for a larger one.
        """
        self._batch.append(record)
        self._batch_bytes += size
        if self._batch_bytes < BATCH_BYTES and time.monotonic() < self._batch_until_s:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write the batch to the ring.

        Raises:
            RingClosed: there is no ring.
            StartError: there is no room for a larger one.
        """
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._batch_until_s = time.monotonic() + BATCH_S
        if batch:
            self._append(encode_batch(batch))

    def end_episode(self) -> None:
        """Write the batch with an episode's last step, which no other may follow for long.

        A trainer that ends many episodes at once keeps the next ones for its next batch.

        Raises:
            RingClosed: there is no ring.
            StartError: there is no room for a larger one.
        """
        now = time.monotonic()
        if now >= self._next_end_s:
            self._next_end_s = now + BATCH_S
            self.flush()

    def send_frame(self, frame: NDArray[np.uint8], drawn_at: float, drawing_s: float) -> None:
        """Write the batch and a frame to the ring; one that it has no room for is made smaller.

        Args:
            frame: ``H×W×3``.
            drawn_at: seconds on ``time.monotonic()``.
            drawing_s: that drawing it took.

        Raises:
            RingClosed: there is no ring.
            StartError: there is no room for a larger one.
        """
        self.flush()
        if not self.ring.is_open:
            raise RingClosed
        size = min(FRAME_SIZE + frame.nbytes, MAX_RECORD)
        if self._can_grow and size > self.ring.max_record:
            try:
                self._grow(size)
            except StartError as error:
                self._can_grow = False
                height, width = frame.shape[:2]
                self._warn(f"frames of {width}×{height} smaller than they are: {error}")
        frame = fit_bytes(frame, self.ring.max_record - FRAME_SIZE)
        self.ring.append(encode_frame(frame.shape, drawn_at, drawing_s), frame.data.cast("B"))

    def _append(self, payload: bytes) -> None:
        """Add to the ring, or to a larger one; what doesn't fit into that either is dropped."""
        if len(payload) > self.ring.max_record:
            self._grow(len(payload))
        self.ring.append(payload)

    def _grow(self, size: int) -> None:
        """Replace the ring by one for larger records; what is in it is dropped.

        Raises:
            StartError: there is no room for it; then the ring is as large as at first.
        """
        announcement = self._announcement
        if announcement is None or not self.ring.is_open:
            return
        least = -(-2 * (entry_size(size, 0) + PAGE) // PAGE) * PAGE
        self.ring.close()
        try:
            self._create(announcement, (min(2 * least, MAX_CAPACITY), min(least, MAX_CAPACITY)))
        except StartError:
            self._create(announcement, (CAPACITY, SMALL_CAPACITY))
            raise

    def close(self) -> None:
        """Write the batch, and say that there is no more; for good."""
        self._is_off = True
        with contextlib.suppress(RingClosed):
            self.flush()
        self.ring.close()

    def _create(self, announcement: Announcement, capacities: tuple[int, ...]) -> None:
        self._announcement = announcement
        self._batch, self._batch_bytes = [], 0
        self.ring = create_ring(announcement, capacities)

    def _fail(self, error: Exception) -> None:
        self.close()
        words = str(error) if isinstance(error, StartError) else f"{type(error).__name__}: {error}"
        self._warn(f"nothing of this environment: {words}")

    def _warn(self, what: str) -> None:
        # The user may have made errors of warnings.
        with contextlib.suppress(Warning):
            gymnasium.logger.warn("metabonk shows %s", what)
