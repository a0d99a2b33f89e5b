"""Lets PyTorch work in the simulated device's memory, which is the host's: it has no CUDA here.

For a process of its own, since it stays so.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabonk.encoding.backends import av_cuda, cuda_frames

CUDA = 2  # kDLCUDA


class OnSimulatedDevice:
    """A tensor of host memory that DLPack says is CUDA's."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self._tensor.__dlpack__()
        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ctypes.c_void_p
        api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
        managed = api.PyCapsule_GetPointer(capsule, b"dltensor")
        # DLManagedTensor begins with the data's address, then the kind of its device.
        ctypes.c_int32.from_address(managed + 8).value = CUDA
        return capsule


def plane(self: Any, address: int, rows: int, width: int, stride: int) -> Tensor:
    there = (ctypes.c_uint8 * (rows * stride)).from_address(address)
    return torch.from_numpy(np.ctypeslib.as_array(there).reshape(rows, stride))[:, :width]


@cache
def install() -> None:
    """From now on the CUDA backends use the simulated device."""
    torch.set_num_threads(1)
    av_cuda.DEVICE = cuda_frames.DEVICE = "cpu"
    cuda_frames.CudaFrames.plane = plane
    av_cuda.CudaPictures.exported = lambda self, plane: OnSimulatedDevice(plane)
    driver, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    # As PyTorch does in a thread that uses the device.
    for code in (
        driver.cuInit(0),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0),
        driver.cuCtxPushCurrent_v2(context),
    ):
        assert code == 0
