"""Lets PyTorch, which has no CUDA here, work in the simulated device's memory: host memory.

It can't be undone, so use it in a separate process.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabonk.encoding.backends import av_cuda, gst_cuda

DL_CUDA = 2  # kDLCUDA


class SimulatedDeviceTensor:
    """A tensor in host memory that DLPack reports as CUDA memory."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self._tensor.__dlpack__()
        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ctypes.c_void_p
        api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
        managed = api.PyCapsule_GetPointer(capsule, b"dltensor")
        # DLManagedTensor starts with the data pointer, followed by the device type.
        ctypes.c_int32.from_address(managed + 8).value = DL_CUDA
        return capsule


def plane(self: Any, address: int, rows: int, width: int, stride: int) -> Tensor:
    memory = (ctypes.c_uint8 * (rows * stride)).from_address(address)
    return torch.from_numpy(np.ctypeslib.as_array(memory).reshape(rows, stride))[:, :width]


@cache
def install() -> None:
    """Make the CUDA backends use the simulated device from now on."""
    torch.set_num_threads(1)
    av_cuda.DEVICE = gst_cuda.DEVICE = "cpu"
    gst_cuda.CudaBuffers.plane = plane
    av_cuda.CudaConverter.exported = lambda self, plane: SimulatedDeviceTensor(plane)
    driver, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    # As PyTorch does in a thread that uses a device.
    for code in (
        driver.cuInit(0),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0),
        driver.cuCtxPushCurrent_v2(context),
    ):
        assert code == 0
