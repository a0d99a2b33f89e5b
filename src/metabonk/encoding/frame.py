"""A picture on its way from a game to an encoder."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


class DevicePixels(Protocol):
    """A picture in CUDA memory, ``H×W×3`` uint8 RGB: a tensor of PyTorch's, or anything else that
    has DLPack or ``__cuda_array_interface__``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, pixels a row, 3."""
        ...

    def __dlpack__(self, *arguments: Any, **options: Any) -> Any:
        """As the array API standard has it."""
        ...


Pixels: TypeAlias = NDArray[np.uint8] | DevicePixels


@dataclass(frozen=True, slots=True)
class Frame:
    """One drawn picture.

    Attributes:
        pixels: ``H×W×3`` uint8 RGB, in host memory or on the GPU. The holder must not write to it.
        captured_at: when it was drawn, seconds on ``time.monotonic()``; the media clock.
        uploaded: the same picture on the GPU, where somebody has brought it there.
    """

    pixels: Pixels
    captured_at: float
    uploaded: DevicePixels | None = None

    @property
    def width(self) -> int:
        """Pixels a row."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def nearest_pixels(self) -> Pixels:
        """The picture for an encoder that takes it from anywhere: on the GPU, if it is there."""
        return self.pixels if self.uploaded is None else self.uploaded

    @property
    def host_pixels(self) -> NDArray[np.uint8]:
        """The picture in host memory, for an encoder that takes no other.

        Raises:
            TypeError: it is on the GPU; the ladder should have kept it from here.
        """
        if not isinstance(self.pixels, np.ndarray):
            raise TypeError("this encoder takes frames in host memory, and the frame is on the GPU")
        return self.pixels


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture of an H.264 stream (ITU-T H.264, 7.4.1.2.3).

    Attributes:
        data: Annex B bytes; an IDR picture has its SPS and PPS in front.
        captured_at: the frame's ``captured_at``, seconds on ``time.monotonic()``.
        keyframe: whether it is an IDR picture, so that decoding can start here.
    """

    data: bytes
    captured_at: float
    keyframe: bool
