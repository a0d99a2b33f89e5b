"""A picture on its way from a game to an encoder."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One drawn picture.

    Attributes:
        pixels: ``H×W×3`` uint8 RGB. The holder must not write to it.
        captured_at: when it was drawn, seconds on ``time.monotonic()``; the media clock.
    """

    pixels: NDArray[np.uint8]
    captured_at: float

    @property
    def width(self) -> int:
        """Pixels a row."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])
