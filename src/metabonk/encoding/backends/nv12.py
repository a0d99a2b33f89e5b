"""RGB to NV12 and to another size, in PyTorch: on the GPU without a kernel compiler at hand.

GStreamer's ``cudaconvertscale`` does the same where it finds NVRTC; PyTorch's own kernels are there
wherever PyTorch is. docs/benchmarks.md has the figures.

BT.709's matrix in limited range (ITU-R BT.709-6, 3.2 to 3.5): ``Y' = 16 + 219 (0.2126 R + 0.7152 G
+ 0.0722 B)`` and the two differences, scaled to 224 and centred on 128. Chroma is the mean of two
by two pixels.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from metabonk.errors import EncoderUnavailable

RED, BLUE = 0.2126, 0.0722
GREEN = 1 - RED - BLUE

LUMA = tuple(219 / 255 * part for part in (RED, GREEN, BLUE))
CHROMA = (
    tuple(224 / 255 * part / (2 - 2 * BLUE) for part in (-RED, -GREEN, 1 - BLUE)),
    tuple(224 / 255 * part / (2 - 2 * RED) for part in (1 - RED, -GREEN, -BLUE)),
)


class Nv12:
    """Converts pictures of any size to NV12 of one size on one device.

    Args:
        width: of the result, pixels; even.
        height: of the result, pixels; even.
        device: where it is done.

    Raises:
        EncoderUnavailable: the size is odd, and chroma is halved.
    """

    def __init__(self, width: int, height: int, device: torch.device) -> None:
        if width % 2 or height % 2:
            raise EncoderUnavailable(f"a picture of {width}×{height} can't be NV12: both are even")
        self._size = (height, width)
        # All constants are there before the first picture: each would be a copy to the device.
        self._black = torch.tensor(16.0, device=device)
        self._grey = torch.tensor(128.0, device=device)
        self._luma = torch.tensor([LUMA], device=device)
        self._chroma = torch.tensor(CHROMA, device=device)

    @torch.inference_mode()
    def convert(self, pixels: Tensor, luma: Tensor, chroma: Tensor) -> None:
        """Writes a picture into its two planes.

        Args:
            pixels: ``H×W×3`` uint8 RGB, on the device.
            luma: ``height×width`` uint8, written; rows may lie apart.
            chroma: ``height/2×width`` uint8, Cb and Cr in turn, written; rows may lie apart.
        """
        height, width = self._size
        picture = pixels.permute(2, 0, 1).unsqueeze(0).float()
        if picture.shape[2:] != self._size:
            smaller = picture.shape[2] > height or picture.shape[3] > width
            picture = interpolate(
                picture, self._size, mode="bilinear", align_corners=False, antialias=smaller
            )
        y = torch.addmm(self._black, self._luma, picture.view(3, -1))
        luma.copy_(y.round_().clamp_(0, 255).view(height, width))
        halved = avg_pool2d(picture, 2).view(3, -1)
        c = torch.addmm(self._grey, self._chroma, halved)
        chroma.copy_(c.round_().clamp_(0, 255).t().reshape(height // 2, width))
