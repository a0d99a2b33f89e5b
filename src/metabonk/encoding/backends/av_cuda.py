"""Pictures in CUDA memory for FFmpeg's NVENC: converted on the GPU, and encoded where they lie."""

from typing import Any

import torch
from av.video.frame import CudaContext, VideoFrame
from torch import Tensor

from metabonk.device_frames import in_frame_stream, on_device, synchronize_stream
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import Frame
from metabonk.errors import EncoderUnavailable

DEVICE = "cuda"

ALIGNMENT = 512
"""Of a row, bytes: as CUDA aligns pictures of its own (``cuMemAllocPitch``)."""

BUFFERS = 4
"""That are written in turn: one is encoded while the next is made."""


class CudaPictures:
    """Makes the pictures of one encoder.

    Args:
        settings: of the stream; pictures are scaled to its size.
        ordinal: CUDA's number of the GPU.

    Raises:
        EncoderUnavailable: PyTorch has no CUDA here.
    """

    def __init__(self, settings: EncoderSettings, ordinal: int) -> None:
        if DEVICE == "cuda" and not torch.cuda.is_available():
            raise EncoderUnavailable("PyTorch finds no CUDA device on this machine")
        self._device = torch.device(DEVICE, ordinal)
        self._nv12 = Nv12(settings.width, settings.height, self._device)
        self._size = (settings.height, settings.width)
        # NVENC looks for the chroma behind the rows of the luma, so both are one allocation.
        rows, row = settings.height * 3 // 2, -(-settings.width // ALIGNMENT) * ALIGNMENT
        self._buffers = torch.empty(
            BUFFERS, rows, row, dtype=torch.uint8, device=self._device
        ).unbind()
        self._made = 0
        # FFmpeg refuses to share the device's own context once PyTorch works in it, but takes the
        # one that is current in this thread, which is that same one.
        self._context = CudaContext(ordinal, primary_ctx=False, current_ctx=True)

    def __call__(self, frame: Frame) -> VideoFrame:
        """The frame as NV12 of the stream's size; it is on the device when this ends."""
        height, width = self._size
        buffer = self._buffers[self._made % BUFFERS]
        self._made += 1
        luma, chroma = buffer[:height, :width], buffer[height:, :width]
        with in_frame_stream(self._device):
            self._nv12.convert(on_device(frame.nearest_pixels, self._device), luma, chroma)
        synchronize_stream(self._device)
        planes = self.exported(luma), self.exported(chroma)
        return VideoFrame.from_dlpack(planes, format="nv12", cuda_context=self._context)

    def exported(self, plane: Tensor) -> Any:
        """A plane for DLPack: it says itself where its memory is."""
        return plane
