"""``Stream``: pictures of anything that is no Gymnasium environment."""

import os
import time
from typing import Any, SupportsFloat

from metabonk.broadcast.announcement import MAX_FPS, Announcement
from metabonk.broadcast.channel import Channel
from metabonk.broadcast.pixels import as_frame
from metabonk.broadcast.records import Thought, encode_step, encode_thought
from metabonk.broadcast.ring_layout import FRAMES, NOTHING
from metabonk.broadcast.values import encode
from metabonk.broadcast.version import metabonk_version

NO_ACTION = encode(None)


class Stream:
    """Shows pictures. While nobody watches, ``show`` returns at once.

    It is announced when it shows the first one. Whatever fails ends it with a warning.

    Args:
        name: on the page; ``{rank}`` is the lowest number that is free.
        fps: pictures a second, 1 to 240; more are not shown.

    Raises:
        ValueError: ``fps`` is out of range.
    """

    def __init__(self, name: str, fps: float = 30) -> None:
        if not 1 <= fps <= MAX_FPS:
            raise ValueError(f"fps of Stream is {fps!r}; allowed: 1 … {MAX_FPS:g}")
        self._name = name
        self._fps = float(fps)
        self._next_s = 0.0
        self._channel = Channel()

    def show(
        self, pixels: Any, *, reward: SupportsFloat | None = None, text: str | None = None
    ) -> None:
        """Show a picture.

        Args:
            pixels: ``H×W×3`` RGB or ``H×W`` gray, uint8.
            reward: since the last picture.
            text: shown beside it.
        """
        ring = self._channel.ring
        if ring.wanted[0]:
            self._channel.attempt(self._show, pixels, reward, text)
        else:
            self._channel.attempt(self._channel.open, self._announce)

    def close(self) -> None:
        """Take it off the page."""
        self._channel.attempt(self._channel.close)

    def _announce(self) -> Announcement:
        return Announcement(
            name=self._name,
            kind="stream",
            version=metabonk_version(),
            pid=os.getpid(),
            fps=self._fps,
            draw="inline",
            speed="now",
            no_recipe="it is a stream",
        )

    def _show(self, pixels: Any, reward: SupportsFloat | None, text: str | None) -> None:
        demand = self._channel.ring.demand
        if demand is NOTHING:
            return
        if text is not None:
            record = encode_thought(Thought(text=text))
            self._channel.add(record, len(record))
        if reward is not None:
            self._channel.add(encode_step(NO_ACTION, float(reward), False, False))
        now = time.monotonic()
        if demand is not FRAMES or now < self._next_s:
            return
        self._next_s = max(self._next_s + 1 / self._fps, now)
        self._channel.send_frame(as_frame(pixels), now, 0.0)
