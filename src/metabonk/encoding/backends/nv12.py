"""RGB to NV12 with scaling, in PyTorch, so that the GPU needs no kernel compiler.

GStreamer's ``cudaconvertscale`` does the same, but requires NVRTC (docs/benchmarks.md).

BT.709's matrix in limited range (ITU-R BT.709-6, 3.2 to 3.5): ``Y' = 16 + 219 (0.2126 R + 0.7152 G
+ 0.0722 B)`` and the two differences, scaled to 224 and centred on 128. Chroma is the mean of
2×2 pixels.
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
    """Converts frames of any size to NV12 of one size on one device.

    Args:
        width: of the result, pixels; even.
        height: of the result, pixels; even.
        device: does the conversion.

    Raises:
        EncoderUnavailable: width or height is odd, but chroma is halved.
    """

    def __init__(self, width: int, height: int, device: torch.device) -> None:
        if width % 2 or height % 2:
            raise EncoderUnavailable(f"NV12 requires an even size, not {width}×{height}")
        self._size = (height, width)
        # Made once, since each constant is a copy to the device.
        self._black = torch.tensor(16.0, device=device)
        self._grey = torch.tensor(128.0, device=device)
        self._luma = torch.tensor([LUMA], device=device)
        self._chroma = torch.tensor(CHROMA, device=device)

    @torch.inference_mode()
    def convert(self, pixels: Tensor, luma: Tensor, chroma: Tensor) -> None:
        """Write a frame into its two planes.

        Args:
            pixels: ``H×W×3`` uint8 RGB, on the device.
            luma: ``height×width`` uint8, written; rows may be padded.
            chroma: ``height/2×width`` uint8, interleaved Cb and Cr, written; rows may be padded.
        """
        height, width = self._size
        image = pixels.permute(2, 0, 1).unsqueeze(0).float()
        if image.shape[2:] != self._size:
            smaller = image.shape[2] > height or image.shape[3] > width
            image = interpolate(
                image, self._size, mode="bilinear", align_corners=False, antialias=smaller
            )
        y = torch.addmm(self._black, self._luma, image.view(3, -1))
        luma.copy_(y.round_().clamp_(0, 255).view(height, width))
        halved = avg_pool2d(image, 2).view(3, -1)
        c = torch.addmm(self._grey, self._chroma, halved)
        chroma.copy_(c.round_().clamp_(0, 255).t().reshape(height // 2, width))
