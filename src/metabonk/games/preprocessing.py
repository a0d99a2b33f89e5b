"""From a drawn frame to the policy's observation, and to a viewer's frame."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from metabonk.frame import Frame
from metabonk.games.game import Observation

# The other cores belong to other workers, and its threads would not survive a fork.
cv2.setNumThreads(0)

MAX_CHANNELS = 4
"""Channels that OpenCV averages at once."""


class ObservationSpec(NamedTuple):
    """Size and color of the policy's image observation.

    Attributes:
        width: pixels.
        height: pixels.
        grayscale: one channel instead of three.
    """

    width: int
    height: int
    grayscale: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, 1 if self.grayscale else 3


ObservationFn: TypeAlias = Callable[[Frame, ObservationSpec], Observation]
"""Function that makes the observation of a frame."""


def observe(frame: Frame, spec: ObservationSpec) -> NDArray[np.uint8]:
    """Make the observation of a frame in host memory; see ``preprocess``."""
    return preprocess(frame.pixels, spec)


def preprocess(pixels: NDArray[np.uint8], spec: ObservationSpec) -> NDArray[np.uint8]:
    """Scale a frame down by averaging areas.

    1280×720 to 128×72 takes 1.2 ms, 256×144 takes 0.02 ms (one 2 GHz core).

    Args:
        pixels: ``H×W×3`` uint8 RGB.
        spec: of the observation.

    Returns:
        ``H×W×C`` uint8 of the spec's shape, contiguous.
    """
    image = luminance(pixels) if spec.grayscale else pixels
    return scale(image, spec.width, spec.height)


def luminance(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness of an image, ``H×W×3`` RGB, as ``H×W×1`` (ITU-R BT.601)."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, np.uint8)[:, :, None]


def scale(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale an image by averaging areas, as Atari games in the literature; never smoothly enlarge.

    Args:
        image: ``H×W×C`` uint8.
        width: pixels.
        height: pixels.

    Returns:
        ``height×width×C`` uint8, contiguous; never a view of ``image``.
    """
    parts = [
        cv2.resize(
            np.ascontiguousarray(image[:, :, first : first + MAX_CHANNELS]),
            (width, height),
            interpolation=cv2.INTER_AREA,
        ).reshape(height, width, -1)
        for first in range(0, image.shape[2], MAX_CHANNELS)
    ]
    scaled = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    return np.asarray(scaled, np.uint8)


def with_action(image: NDArray[np.uint8], action: int | None, count: int) -> NDArray[np.uint8]:
    """Add a channel that shows an action: its cell of a grid of all actions is white.

    Args:
        image: ``H×W×C``.
        action: that led to it; None: it is the first.
        count: of actions.

    Returns:
        ``H×W×(C+1)``.
    """
    height, width, _ = image.shape
    plane = np.zeros((height, width, 1), np.uint8)
    if action is not None:
        side = math.isqrt(count - 1) + 1
        row, column = divmod(action, side)
        top, bottom = row * height // side, (row + 1) * height // side
        plane[top:bottom, column * width // side : (column + 1) * width // side] = 255
    return np.concatenate([image, plane], axis=2)


def as_rgb(rendered: Any) -> NDArray[np.uint8]:
    """Return what an environment rendered as ``H×W×3`` uint8 RGB, contiguous.

    Args:
        rendered: ``H×W``, ``H×W×1``, ``H×W×3`` or ``H×W×4``; integers of 0 … 255, booleans, or
            floats of 0 … 1 or 0 … 255.

    Raises:
        ValueError: it is no such image; names its type or its dtype and shape.
    """
    if not isinstance(rendered, np.ndarray):
        raise ValueError(f"it rendered {type(rendered).__name__}, not an array")
    channels = rendered.shape[2:]
    if rendered.ndim not in (2, 3) or not rendered.size or channels not in ((), (1,), (3,), (4,)):
        raise ValueError(f"it rendered an array of {rendered.dtype} {rendered.shape}, not an image")
    image = rendered if rendered.ndim == 3 else rendered[:, :, None]
    if image.dtype.kind == "b":
        image = image * np.uint8(255)
    elif image.dtype.kind == "f":
        image = np.nan_to_num(image)
        image = np.rint(image * 255 if image.max() <= 1 else image)
    elif image.dtype.kind not in "iu":
        raise ValueError(f"it rendered an image of {image.dtype}, not of integers or floats")
    image = np.clip(image, 0, 255).astype(np.uint8, copy=False)
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def letterbox(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Fit a frame into ``height×width×3``, centered on black, keeping its aspect ratio.

    Enlarged twofold or more, it keeps hard pixel edges, as expected of pixel art. One that is to be
    enlarged less gets the aspect ratio of ``height×width`` and keeps its scale: the encoder
    enlarges it at a tenth of the cost.
    """
    own_height, own_width = pixels.shape[:2]
    factor = min(width / own_width, height / own_height)
    if 1 < factor < 2:
        width, height, factor = round(width / factor), round(height / factor), 1.0
    across, down = max(1, round(own_width * factor)), max(1, round(own_height * factor))
    method = cv2.INTER_NEAREST_EXACT if factor >= 2 else cv2.INTER_AREA
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - across) // 2, (height - down) // 2
    inside = canvas[top : top + down, left : left + across]
    inside[:] = cv2.resize(pixels, (across, down), interpolation=method)
    return canvas
