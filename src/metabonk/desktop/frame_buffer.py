"""The picture of a display, read from the file in which Xvfb keeps it (XWDFile.h)."""

import mmap
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metabonk.errors import GameError

HEADER = struct.Struct(">25I")
COLOR_BYTES = 12
_SIZE, _WIDTH, _HEIGHT, _BITS, _STRIDE, _COLORS = 0, 4, 5, 11, 12, 19


class FrameBuffer:
    """A display's picture, without asking the display.

    Args:
        file: that Xvfb writes.

    Raises:
        GameError: it is none, or has other pixels than 32 bits.
    """

    def __init__(self, file: Path) -> None:
        try:
            with file.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            header = HEADER.unpack_from(self._map)
        except (OSError, ValueError, struct.error) as error:
            raise GameError(f"the display's picture {file} can't be read: {error}") from None
        if header[_BITS] != 32:
            raise GameError(f"the display has {header[_BITS]} bits per pixel, not 32")
        start = header[_SIZE] + COLOR_BYTES * header[_COLORS]
        self._height, self._width, self._stride = header[_HEIGHT], header[_WIDTH], header[_STRIDE]
        self._pixels: NDArray[np.uint8] | None = np.frombuffer(
            self._map, np.uint8, self._height * self._stride, start
        ).reshape(self._height, self._stride)

    def read(self) -> NDArray[np.uint8]:
        """Return a copy of the picture, ``H×W×3`` uint8 RGB."""
        assert self._pixels is not None, "it is open"
        pixels = self._pixels[:, : 4 * self._width].reshape(self._height, self._width, 4)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), np.uint8)

    def close(self) -> None:
        """Let go of the file."""
        self._pixels = None
        self._map.close()
