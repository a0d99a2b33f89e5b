"""A JPEG of the newest frame, also for streams that have no encoder."""

import asyncio
import io
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 80
FRESH_S = 0.1
"""Whoever asks within this time gets the picture that was made for the one before: a page full of
standby workers asks once a second for each tile and each viewer."""


class Snapshot:
    """Encodes the newest frame when somebody asks, and not otherwise.

    All requests must come from one asyncio loop. The work is done in a thread of the loop's pool,
    one at a time, and Pillow holds no interpreter lock meanwhile, so that the game goes on.

    Args:
        newest: the newest frame, ``H×W×3`` uint8 RGB that nobody writes to, or None before the
            first.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        newest: Callable[[], NDArray[np.uint8] | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._newest = newest
        self._clock = clock
        self._working = asyncio.Lock()
        self._made: dict[int | None, tuple[NDArray[np.uint8], float, bytes]] = {}

    async def jpeg(self, max_width: int | None = None) -> bytes | None:
        """The newest frame as JPEG, or None before the first frame.

        Args:
            max_width: a wider frame is scaled down to this, pixels; None leaves it as it is.
        """
        async with self._working:
            pixels = self._newest()
            if pixels is None:
                return None
            known = self._made.get(max_width)
            if known and (known[0] is pixels or self._clock() - known[1] < FRESH_S):
                return known[2]
            began = self._clock()
            data = await asyncio.to_thread(_encode, pixels, max_width)
            self._forget_old(began)
            self._made[max_width] = (pixels, began, data)
            return data

    def _forget_old(self, now: float) -> None:
        """Keeps one picture a width that is asked for, and none that is out of date."""
        self._made = {width: m for width, m in self._made.items() if now - m[1] < FRESH_S}


def _encode(pixels: NDArray[np.uint8], max_width: int | None) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max_width is not None and max_width < image.width:
        height = max(1, round(image.height * max_width / image.width))
        image = image.resize((max_width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
