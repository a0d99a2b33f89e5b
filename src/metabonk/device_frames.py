"""Pictures in the memory of a GPU: uploaded at most once, and worked on in one stream.

What is enqueued in one stream happens in that order. So whoever uploads a picture, looks at it or
converts it does so in the same stream of the process, beside the policy's own, and nobody has to
wait for anybody. The functions take any device: on the processor they do the same at once.
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
    """The stream of this device in which pictures are worked on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def in_frame_stream(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """For the time of the block, work on this device is enqueued in that stream."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.cuda.stream(frame_stream(device))


def upload(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The picture on the device: copied into pinned memory, and from there without a wait.

    PyTorch hands the pinned memory out again only when the copy is done.
    """
    if device.type != "cuda":
        return torch.from_numpy(np.ascontiguousarray(pixels))
    pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
    pinned.numpy()[...] = pixels
    with in_frame_stream(device):
        return pinned.to(device, non_blocking=True)


def on_device(pixels: Any, device: torch.device) -> Tensor:
    """The picture as a tensor on the device; one that is there already is not copied.

    Args:
        pixels: ``H×W×3`` uint8, in host memory, or on the device as anything that has
            ``__cuda_array_interface__`` or DLPack.
        device: where it is wanted.
    """
    if isinstance(pixels, np.ndarray):
        return upload(pixels, device)
    if device.type == "cuda":
        # Whoever made it may have done so in another stream.
        frame_stream(device).wait_stream(torch.cuda.current_stream(device))
    if hasattr(pixels, "__cuda_array_interface__"):
        return torch.as_tensor(pixels, device=device)
    return torch.utils.dlpack.from_dlpack(pixels)


def wait_for_stream(device: torch.device) -> None:
    """What the current stream does next comes after what has been enqueued for pictures."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).wait_stream(frame_stream(device))


def synchronize_stream(device: torch.device) -> None:
    """Waits, in this thread, until all that was enqueued for pictures is done."""
    if device.type == "cuda":
        frame_stream(device).synchronize()
