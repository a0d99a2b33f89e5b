"""The policy's observation of a frame, made on the GPU that the frame is on.

The same as ``games.preprocessing.preprocess`` makes in host memory, to within 1 of 255: Pillow
rounds to whole numbers between its passes over rows and columns, and this rounds once, at the end.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.device_frames import in_frame_stream, wait_for_stream
from metabonk.frame import Frame
from metabonk.games.game import Observation
from metabonk.games.preprocessing import ObservationSpec, observe

BRIGHTNESS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


class DeviceObservation:
    """An observation on a device; ``np.asarray`` copies it to host memory.

    Args:
        tensor: ``H×W×C`` uint8, made in the device's frame stream.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def tensor(self) -> Tensor:
        """Return the observation, for use in the current stream."""
        wait_for_stream(self._tensor.device)
        return self._tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        with in_frame_stream(self._tensor.device):
            return np.asarray(self._tensor.cpu().numpy(), dtype)


class DeviceObserver:
    """Makes observations on the device while the encoder takes its frames there, else on the host.

    The frame is then uploaded once, for both.

    Args:
        device: of the policy and the encoder.
        on_device: asked for every observation: whether the encoder takes frames on the device.
    """

    def __init__(self, device: torch.device, on_device: Callable[[], bool]) -> None:
        self._device = device
        self._on_device = on_device

    def observe(self, frame: Frame, spec: ObservationSpec) -> Observation:
        """Make the observation of a frame; waits for nothing on the device."""
        if not self._on_device():
            return observe(frame, spec)
        pixels = frame.on(self._device)
        with in_frame_stream(self._device):
            return DeviceObservation(resize_on_device(pixels, spec))


@torch.inference_mode()
def resize_on_device(pixels: Tensor, spec: ObservationSpec) -> Tensor:
    """Scale a frame down by averaging areas, on the device it is on.

    Args:
        pixels: ``H×W×3`` uint8 RGB.
        spec: of the policy.

    Returns:
        ``spec.shape``, uint8, on the same device.
    """
    channels = pixels.permute(2, 0, 1).float()
    if spec.grayscale:
        brightness = _brightness(pixels.device)
        channels = torch.einsum("chw,c->hw", channels, brightness).round_().unsqueeze(0)
    height, width = channels.shape[1:]
    down = _areas(height, spec.height, pixels.device)
    across = _areas(width, spec.width, pixels.device)
    small = (down @ channels @ across.T).round_().clamp_(0, 255).to(torch.uint8)
    return small.permute(1, 2, 0).contiguous()


@cache
def _brightness(device: torch.device) -> Tensor:
    return torch.tensor(BRIGHTNESS, device=device)


@cache
def _areas(length: int, wanted: int, device: torch.device) -> Tensor:
    """Return the averaging matrix from ``length`` pixels to ``wanted``, ``wanted×length`` float32.

    A pixel belongs to every area that it overlaps, by its share (OpenCV's ``INTER_AREA``).
    """
    edges = np.linspace(0, length, wanted + 1)
    start, end = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)[None]
    overlap = np.minimum(end, pixels + 1) - np.maximum(start, pixels)
    shares = overlap.clip(0) * wanted / length
    return torch.from_numpy(shares.astype(np.float32)).to(device)
