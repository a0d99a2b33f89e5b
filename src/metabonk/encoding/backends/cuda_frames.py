"""Pictures in CUDA memory for GStreamer's encoders: uploaded at most once, converted on the GPU.

PyTorch and GStreamer work in one CUDA context, PyTorch's primary one, so that PyTorch's kernels
write NV12 straight into the memory that NVENC reads. Nothing comes back to the host but H.264.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metabonk.device_frames import in_frame_stream, on_device, synchronize_stream
from metabonk.encoding.backends.gst_library import CudaMemoryError, Library, namespace
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import Pixels
from metabonk.errors import EncoderUnavailable

DEVICE = "cuda"

MAP_WRITE, MAP_CUDA = 2, 0x20000  # GST_MAP_WRITE, GST_MAP_CUDA
POOLED = 4
"""Buffers that are made at once: one is written, one is encoded."""


class _MapInfo(ctypes.Structure):
    """GstMapInfo. The bindings would read device memory as if it were the host's."""

    _fields_ = (
        ("memory", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("maxsize", ctypes.c_size_t),
        ("user_data", ctypes.c_void_p * 4),
        ("reserved", ctypes.c_void_p * 4),
    )


class _Plane:
    """Memory of somebody else, as PyTorch takes it (CUDA Array Interface, version 3)."""

    def __init__(self, address: int, rows: int, width: int, stride: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (rows, width),
            "strides": (stride, 1),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


class CudaFrames:
    """Makes the buffers of one pipeline.

    Args:
        library: GStreamer with its ``nvcodec`` plugin loaded.
        settings: of the stream; pictures are scaled to its size.
        caps: of the buffers.
        ordinal: CUDA's number of the GPU.

    Raises:
        EncoderUnavailable: PyTorch or GStreamer has no CUDA here.
    """

    def __init__(
        self, library: Library, settings: EncoderSettings, caps: str, ordinal: int
    ) -> None:
        if DEVICE == "cuda" and not torch.cuda.is_available():
            raise EncoderUnavailable("PyTorch finds no CUDA device on this machine")
        self._library = library
        self._settings = settings
        self._device = torch.device(DEVICE, ordinal)
        self._nv12 = Nv12(settings.width, settings.height, self._device)
        cuda = namespace("GstCuda")
        # The bindings of 1.22 keep the prefix.
        load = getattr(cuda, "cuda_load_library", None) or cuda.load_library
        if not load():
            raise EncoderUnavailable("GStreamer can't load libcuda.so.1")
        self._context = cuda.CudaContext.new_wrapped(_primary_context(ordinal), ordinal)
        if self._context is None:
            raise EncoderUnavailable(f"GStreamer can't use the context of CUDA device {ordinal}")
        self.context: Any = cuda.context_new_cuda_context(self._context)
        """For the pipeline: encoder and buffers share one object, else frames are copied through
        host memory without a word."""
        self._cuda = cuda
        self._pool: Any = self.pool_of(caps, settings.width * settings.height * 3 // 2)

    def pool_of(self, caps: str, size: int) -> Any:
        """Buffers of CUDA memory that are used again and again.

        Args:
            caps: of what they hold.
            size: of one, bytes, without what the device adds to a row.

        Raises:
            EncoderUnavailable: there is no memory, or GStreamer has no CUDA for such caps.
        """
        gst = self._library.gst
        pool = self._cuda.CudaBufferPool.new(self._context)
        if pool.__grefcount__ > 1:
            # 1.22 gives its own reference away, and the bindings take another: none would free it.
            self._library.c.gst_object_unref(hash(pool))
        config = pool.get_config()
        gst.BufferPool.config_set_params(config, gst.Caps.from_string(caps), size, POOLED, 0)
        if not (pool.set_config(config) and pool.set_active(True)):
            raise EncoderUnavailable(f"GStreamer has no CUDA memory for pictures: {caps}")
        return pool

    def buffer(self, pixels: Pixels) -> Any:
        """A buffer with this picture, scaled and converted; it is on the device when this ends.

        Raises:
            CudaMemoryError: there is none to be had.
        """
        flow, buffer = self._pool.acquire_buffer(None)
        if flow != self._library.gst.FlowReturn.OK:
            raise CudaMemoryError("GStreamer has no CUDA memory left")
        width, height = self._settings.width, self._settings.height
        with self.mapped(buffer) as (address, meta):
            luma, chroma = (
                self.plane(address + meta.offset[plane], rows, width, meta.stride[plane])
                for plane, rows in ((0, height), (1, height // 2))
            )
            with in_frame_stream(self._device):
                self._nv12.convert(on_device(pixels, self._device), luma, chroma)
            synchronize_stream(self._device)
        return buffer

    @contextlib.contextmanager
    def mapped(self, buffer: Any) -> Iterator[tuple[int, Any]]:
        """The device's address of a buffer, for writing, and how its planes lie there.

        Raises:
            CudaMemoryError: it can't be written to.
        """
        c = self._library.c
        memory = c.gst_buffer_peek_memory(hash(buffer), 0)
        mapped = _MapInfo()
        if not c.gst_memory_map(memory, ctypes.byref(mapped), MAP_WRITE | MAP_CUDA):
            raise CudaMemoryError("GStreamer can't map its CUDA memory")
        try:
            yield mapped.data, self._library.video.buffer_get_video_meta(buffer)
        finally:
            c.gst_memory_unmap(memory, ctypes.byref(mapped))

    def plane(self, address: int, rows: int, width: int, stride: int) -> Tensor:
        """Memory at this address of the device as ``rows×width`` uint8; nothing is copied."""
        return torch.as_tensor(_Plane(address, rows, width, stride), device=self._device)

    def close(self) -> None:
        """Frees the memory; may be repeated."""
        if self._pool is not None:
            self._pool.set_active(False)
        self._pool = self._context = self.context = None


def _primary_context(ordinal: int) -> int:
    """The context that PyTorch works in, retained for as long as the process lives."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    for code in (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(device), ordinal),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
    ):
        if code:
            raise EncoderUnavailable(f"CUDA refuses device {ordinal} with code {code}")
    return context.value or 0
