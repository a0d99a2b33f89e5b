"""From a drawn frame to the policy's observation, and to a viewer's frame."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metabonk.frame import Frame
from metabonk.games.game import Observation


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

    1280×720 to 128×72 takes 1.8 ms, 256×144 takes 0.08 ms (one 2 GHz core).

    Args:
        pixels: ``H×W×3`` uint8 RGB.
        spec: of the observation.

    Returns:
        ``H×W×C`` uint8 of the spec's shape, contiguous.
    """
    image = Image.fromarray(pixels)
    if spec.grayscale:
        image = image.convert("L")
    across, rest_across = divmod(image.width, spec.width)
    down, rest_down = divmod(image.height, spec.height)
    if rest_across == rest_down == 0 and across and down:
        small = image.reduce((across, down))
    else:
        small = image.resize((spec.width, spec.height), Image.Resampling.BOX)
    return np.array(small).reshape(spec.shape)


def letterbox(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Fit a frame into ``height×width×3``, centered on black, keeping its aspect ratio.

    Enlarged twofold or more, it keeps hard pixel edges, as expected of pixel art.
    """
    image = Image.fromarray(pixels)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BILINEAR
    canvas = Image.new("RGB", (width, height))
    canvas.paste(image.resize(size, method), ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(canvas)
