"""The policy's observation of a picture that is on the GPU, made there.

The same as ``games.picture.observe`` makes in host memory, to within 1 of 255: Pillow rounds to
whole numbers between its passes over rows and columns, and this does once, at the end.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.device_frames import in_frame_stream, upload, wait_for_stream
from metabonk.games.game import Observation
from metabonk.games.preprocessing import ObservationSpec, observe

BRIGHTNESS = (0.299, 0.587, 0.114)
"""Of red, green and blue, as Pillow has it (ITU-R BT.601-2)."""


class DeviceObservation:
    """An observation on the device; ``np.asarray`` brings it into host memory.

    Args:
        tensor: ``H×W×C`` uint8, made in the stream of pictures.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def tensor(self) -> Tensor:
        """The observation, for use in the current stream."""
        wait_for_stream(self._tensor.device)
        return self._tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        with in_frame_stream(self._tensor.device):
            return np.asarray(self._tensor.cpu().numpy(), dtype)


class DeviceObserver:
    """Uploads the pictures of the game that is shown, and looks at them there. One thread uses it.

    A picture goes to the GPU once, for the encoder; the policy looks at that very one. A picture
    that nobody uploaded is seen in host memory.

    Args:
        device: of the policy and the encoder.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._newest: tuple[NDArray[np.uint8], Tensor] | None = None

    def upload(self, pixels: NDArray[np.uint8]) -> Tensor:
        """The picture on the device, ``H×W×3`` uint8 RGB; waits for nothing."""
        uploaded = upload(pixels, self._device)
        self._newest = pixels, uploaded
        return uploaded

    def observe(self, pixels: NDArray[np.uint8], view: ObservationSpec) -> Observation:
        """The observation of this picture, see ``games.picture.observe``."""
        newest, self._newest = self._newest, None
        if newest is None or newest[0] is not pixels:
            return observe(pixels, view)
        with in_frame_stream(self._device):
            return DeviceObservation(observe_there(newest[1], view))


@torch.inference_mode()
def observe_there(picture: Tensor, view: ObservationSpec) -> Tensor:
    """The picture scaled down by averaging areas, where it is.

    Args:
        picture: ``H×W×3`` uint8 RGB.
        view: of the policy.

    Returns:
        Of the view's shape, uint8, on the same device.
    """
    channels = picture.permute(2, 0, 1).float()
    if view.grayscale:
        brightness = _brightness(picture.device)
        channels = torch.einsum("chw,c->hw", channels, brightness).round_().unsqueeze(0)
    height, width = channels.shape[1:]
    down = _areas(height, view.height, picture.device)
    across = _areas(width, view.width, picture.device)
    small = (down @ channels @ across.T).round_().clamp_(0, 255).to(torch.uint8)
    return small.permute(1, 2, 0).contiguous()


@cache
def _brightness(device: torch.device) -> Tensor:
    return torch.tensor(BRIGHTNESS, device=device)


@cache
def _areas(length: int, wanted: int, device: torch.device) -> Tensor:
    """What of ``length`` pixels each of ``wanted`` is the mean of; ``wanted × length`` float32.

    A pixel belongs to the area that its centre lies in, as with Pillow's box filter (Resample.c,
    ``precompute_coeffs``).
    """
    scale = length / wanted
    area = max(scale, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    offsets = (np.arange(length)[None] + 0.5 - centres) / area
    inside = ((offsets > -0.5) & (offsets <= 0.5)).astype(np.float32)
    return torch.from_numpy(inside / inside.sum(1, keepdims=True)).to(device)
