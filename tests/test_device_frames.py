"""Frames in device memory. Here the device is the CPU; ``tests/gpu`` uses a GPU."""

from typing import Any

import numpy as np
import torch

from metabonk.device_frames import in_frame_stream, on_device, synchronize_stream, upload

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8)


class ForeignArray:
    """Array of another library that supports DLPack."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.shape = tensor, tensor.shape

    def __dlpack__(self, *arguments: Any, **options: Any) -> Any:
        return self.tensor.__dlpack__(*arguments, **options)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def test_host_pixels_are_uploaded_regardless_of_strides():
    assert np.array_equal(upload(PIXELS, CPU).numpy(), PIXELS)
    mirrored = PIXELS[:, ::-1]
    assert np.array_equal(on_device(mirrored, CPU).numpy(), mirrored)


def test_pixels_on_the_device_are_not_copied():
    tensor = torch.from_numpy(PIXELS.copy())
    for pixels in (tensor, ForeignArray(tensor)):
        with in_frame_stream(CPU):
            assert on_device(pixels, CPU).data_ptr() == tensor.data_ptr()
    synchronize_stream(CPU)
