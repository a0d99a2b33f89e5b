"""Images of environments as frames: ``H×W×3`` uint8 RGB. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAY, RGB, STACK = (1,), (3,), (2, 4, 5, 6, 7, 8)


def as_frame(image: Any) -> NDArray[np.uint8]:
    """Return an image as a frame.

    Args:
        image: uint8; in color or gray; channels last or first. Of gray images that are stacked, the
            last one is taken.

    Raises:
        ValueError: it is no such image; says what it is.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(
            f"an image of shape {pixels.shape} and {pixels.dtype}, which has to be "
            "height×width or height×width×3 and uint8"
        )
    if pixels.ndim == 3:
        channels = (*GRAY, *RGB, *STACK)
        if pixels.shape[2] not in channels and pixels.shape[0] in channels:
            pixels = np.moveaxis(pixels, 0, 2)
        if pixels.shape[2] not in RGB:
            pixels = pixels[:, :, -1]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(pixels)


def fit_bytes(frame: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Leave out every second row and column of a frame until it takes at most so many bytes."""
    while frame.nbytes > most:
        frame = np.ascontiguousarray(frame[::2, ::2])
    return frame
