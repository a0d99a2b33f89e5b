"""JPEG of the newest frame, also for streams without an encoder."""

import asyncio
import io
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 80
MAX_AGE_S = 0.1
"""Within this time the last JPEG is served again: a page full of standby workers requests one a
second for each tile and viewer."""

LEAST_SHARE = 0.75
"""Of the width that is asked for; browsers blur what they enlarge."""


class Snapshot:
    """Encodes the newest frame on request only.

    All requests must come from one asyncio loop. Encoding runs in a thread of the loop's pool, one
    frame at a time; Pillow releases the interpreter lock meanwhile, so the game keeps running.

    Args:
        newest: returns the newest frame, ``H×W×3`` uint8 RGB that nobody writes to, or None before
            the first.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        newest: Callable[[], NDArray[np.uint8] | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._newest = newest
        self._clock = clock
        self._encoding = asyncio.Lock()
        self._cache: dict[int | None, tuple[NDArray[np.uint8], float, bytes]] = {}

    async def jpeg(self, max_width: int | None = None) -> bytes | None:
        """Return the newest frame as JPEG, or None before the first.

        Args:
            max_width: scales a wider frame down, pixels; None keeps its size.
        """
        async with self._encoding:
            pixels = self._newest()
            if pixels is None:
                return None
            cached = self._cache.get(max_width)
            if cached and (cached[0] is pixels or self._clock() - cached[1] < MAX_AGE_S):
                return cached[2]
            began = self._clock()
            data = await asyncio.to_thread(_encode, pixels, max_width)
            self._evict_old(began)
            self._cache[max_width] = (pixels, began, data)
            return data

    def _evict_old(self, now: float) -> None:
        """Drop outdated JPEGs, so that widths no longer requested hold no frame."""
        self._cache = {width: c for width, c in self._cache.items() if now - c[1] < MAX_AGE_S}


def _encode(pixels: NDArray[np.uint8], max_width: int | None) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max_width is not None and max_width < image.width:
        image = _scaled_down(image, max_width)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _scaled_down(image: Image.Image, max_width: int) -> Image.Image:
    """Return an image that is at most this wide.

    The mean of whole pixels takes a quarter of the time of any other size, so it is taken where it
    is nearly as wide as it may be.
    """
    factor = -(-image.width // max_width)
    if image.width >= LEAST_SHARE * factor * max_width:
        return image.reduce(factor)
    height = max(1, round(image.height * max_width / image.width))
    return image.resize((max_width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
