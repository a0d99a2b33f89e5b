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

from metabonk.encoding.frame import Pixels


@cache
def picture_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of this device in which pictures are worked on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def in_picture_stream(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """For the time of the block, work on this device is enqueued in that stream."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.cuda.stream(picture_stream(device))


def upload(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The picture on the device: copied into pinned memory, and from there without a wait.

    PyTorch hands out the pinned memory again when the copy is done.
    """
    if device.type != "cuda":
        return torch.from_numpy(np.ascontiguousarray(pixels))
    pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
    pinned.numpy()[...] = pixels
    with in_picture_stream(device):
        return pinned.to(device, non_blocking=True)


def on_device(pixels: Pixels, device: torch.device) -> Tensor:
    """The picture as a tensor on the device; one that is there already is not copied.

    Args:
        pixels: in host memory, a tensor, or anything with ``__cuda_array_interface__`` or DLPack.
        device: where it is wanted.
    """
    if isinstance(pixels, np.ndarray):
        return upload(pixels, device)
    if device.type == "cuda":
        # Whoever made it did so in a stream of their own.
        picture_stream(device).wait_stream(torch.cuda.current_stream(device))
    if hasattr(pixels, "__cuda_array_interface__"):
        return torch.as_tensor(pixels, device=device)
    return torch.utils.dlpack.from_dlpack(pixels)


def finish(device: torch.device) -> None:
    """Waits until all that was enqueued is done: NVENC reads in a stream of its own."""
    if device.type == "cuda":
        picture_stream(device).synchronize()
