"""Pictures of any size in the shape of a stream. Pure."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MIN_SNAPSHOT_SIDE = 160
"""Pixels of a snapshot's longer side: browsers blur what they enlarge."""


def fit(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Fit a picture into the shape of ``width×height``, centered on black.

    One that is enlarged twofold or more keeps hard edges: its pixels become squares of one size.
    Otherwise it keeps its own size, or half of it and so on: the encoder does the rest.

    Args:
        pixels: ``H×W×3`` uint8.
        width: of the stream, pixels.
        height: likewise.

    Returns:
        uint8, three colors; ``pixels`` itself if it has that shape already.
    """
    factor = min(width / pixels.shape[1], height / pixels.shape[0])
    if factor >= 2:
        return _centered(_enlarged(pixels, int(factor)), width, height)
    if factor <= 0.5:
        pixels = np.asarray(Image.fromarray(pixels).reduce(int(1 / factor)))
        factor = min(width / pixels.shape[1], height / pixels.shape[0])
    return _centered(
        pixels,
        max(pixels.shape[1], round(width / factor)),
        max(pixels.shape[0], round(height / factor)),
    )


def snapshot_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture as it is, or a tiny one with larger pixels."""
    factor = -(-MIN_SNAPSHOT_SIDE // max(pixels.shape[:2]))
    return pixels if factor == 1 else _enlarged(pixels, factor)


def _enlarged(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _centered(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    own_height, own_width = pixels.shape[:2]
    if (own_width, own_height) == (width, height):
        return pixels
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - own_width) // 2, (height - own_height) // 2
    canvas[top : top + own_height, left : left + own_width] = pixels
    return canvas
