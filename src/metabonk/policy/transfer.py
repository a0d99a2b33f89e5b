"""Copies between host and device memory, for which as little as possible waits.

A GPU copies from and to pinned memory beside whatever the host does. PyTorch reuses pinned memory
only once the copies from it are done.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device, without waiting for a GPU.

    On the CPU the tensor shares the array's memory.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def host_memory(shape: Sequence[int], dtype: type[np.generic], device: torch.device) -> Tensor:
    """Return zeros in host memory that a device copies from and to: pinned, if it is a GPU."""
    zeros = torch.from_numpy(np.zeros(shape, dtype))
    return zeros if device.type == "cpu" else zeros.pin_memory()


def download(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors of one device as arrays by the same names; a GPU is waited for only once.

    On the CPU the arrays share the tensors' memory.
    """
    copies = {name: each.detach().to("cpu", non_blocking=True) for name, each in tensors.items()}
    if devices := {each.device for each in tensors.values() if each.is_cuda}:
        (device,) = devices
        torch.cuda.current_stream(device).synchronize()
    return {name: each.numpy() for name, each in copies.items()}
