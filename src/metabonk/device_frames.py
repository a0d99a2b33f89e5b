"""Frames in GPU memory, all worked on in one CUDA stream per device.

Work enqueued in one stream runs in that order. So uploads, observations and conversions of frames
all go through the device's frame stream, beside the policy's own stream, and no thread has to wait
for another. The functions take any device: on the CPU they work at once.
"""

import contextlib
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from numpy.typing import NDArray
from torch import Tensor


@cache
def frame_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the CUDA stream of this device in which frames are worked on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def in_frame_stream(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Enqueue the block's work on this device in its frame stream."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.cuda.stream(frame_stream(device))


def upload(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy pixels to the device through pinned memory, without waiting for the second copy.

    PyTorch reuses the pinned memory only once that copy is done.
    """
    if device.type != "cuda":
        return torch.from_numpy(np.ascontiguousarray(pixels))
    pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
    pinned.numpy()[...] = pixels
    with in_frame_stream(device):
        return pinned.to(device, non_blocking=True)


def on_device(pixels: Any, device: torch.device) -> Tensor:
    """Return pixels as a tensor on the device, without a copy where they are there already.

    Args:
        pixels: ``H×W×3`` uint8, in host memory, or on the device as anything with
            ``__cuda_array_interface__`` or DLPack.
        device: where they are wanted.
    """
    if isinstance(pixels, np.ndarray):
        return upload(pixels, device)
    if device.type == "cuda":
        # They may have been made in another stream.
        frame_stream(device).wait_stream(torch.cuda.current_stream(device))
    if hasattr(pixels, "__cuda_array_interface__"):
        return torch.as_tensor(pixels, device=device)
    return torch.utils.dlpack.from_dlpack(pixels)


def wait_for_stream(device: torch.device) -> None:
    """Make the current stream wait for the work enqueued in the frame stream so far."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).wait_stream(frame_stream(device))


def synchronize_stream(device: torch.device) -> None:
    """Block until all work enqueued in the frame stream is done."""
    if device.type == "cuda":
        frame_stream(device).synchronize()
