"""Frames in CUDA memory for FFmpeg's NVENC: converted on the GPU and encoded in place."""

from typing import Any

import torch
from av.video.frame import CudaContext, VideoFrame
from torch import Tensor

from metabonk.device_frames import in_frame_stream, synchronize_stream
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncoderUnavailable
from metabonk.frame import Frame

DEVICE = "cuda"

ROW_ALIGNMENT = 512
"""Bytes; the alignment of CUDA's own 2D allocations (``cuMemAllocPitch``)."""

BUFFERS = 4
"""Written in turn: one is encoded while the next is converted."""


class CudaConverter:
    """Scales and converts the frames of one encoder on the GPU.

    Args:
        settings: of the stream; frames are scaled to its size.
        ordinal: CUDA's index of the GPU.

    Raises:
        EncoderUnavailable: PyTorch has no CUDA here.
    """

    def __init__(self, settings: EncoderSettings, ordinal: int) -> None:
        if DEVICE == "cuda" and not torch.cuda.is_available():
            raise EncoderUnavailable("PyTorch finds no CUDA device on this machine")
        self._device = torch.device(DEVICE, ordinal)
        self._nv12 = Nv12(settings.width, settings.height, self._device)
        self._size = (settings.height, settings.width)
        # NVENC expects the chroma right after the luma, so both are one allocation.
        rows = settings.height * 3 // 2
        row_bytes = -(-settings.width // ROW_ALIGNMENT) * ROW_ALIGNMENT
        self._buffers = torch.empty(
            BUFFERS, rows, row_bytes, dtype=torch.uint8, device=self._device
        ).unbind()
        self._converted = 0
        # FFmpeg refuses to share the primary context once PyTorch uses it, but accepts the one
        # current in this thread, which is the same.
        self._context = CudaContext(ordinal, primary_ctx=False, current_ctx=True)

    def __call__(self, frame: Frame) -> VideoFrame:
        """Return the frame as NV12 of the stream's size, complete on the device."""
        height, width = self._size
        buffer = self._buffers[self._converted % BUFFERS]
        self._converted += 1
        luma, chroma = buffer[:height, :width], buffer[height:, :width]
        pixels = frame.on(self._device)
        with in_frame_stream(self._device):
            self._nv12.convert(pixels, luma, chroma)
        synchronize_stream(self._device)
        planes = self.exported(luma), self.exported(chroma)
        return VideoFrame.from_dlpack(planes, format="nv12", cuda_context=self._context)

    def exported(self, plane: Tensor) -> Any:
        """Return a plane for DLPack, which tells where its memory is."""
        return plane
