"""Frames in CUDA memory for GStreamer's encoders: uploaded once and converted on the GPU.

PyTorch and GStreamer share one CUDA context, PyTorch's primary one, so that PyTorch's kernels write
NV12 straight into the memory that NVENC reads. Only H.264 returns to the host.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metabonk.device_frames import in_frame_stream, synchronize_stream
from metabonk.encoding.backends.gst_library import CudaMemoryError, Library, namespace
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncoderUnavailable
from metabonk.frame import Frame

DEVICE = "cuda"

MAP_WRITE, MAP_CUDA = 2, 0x20000  # GST_MAP_WRITE, GST_MAP_CUDA
POOLED = 4
"""Preallocated buffers: one is written while another is encoded."""


class _MapInfo(ctypes.Structure):
    """GstMapInfo; the bindings would read device memory as if it were host memory."""

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
    """Foreign memory exposed to PyTorch (CUDA Array Interface, version 3)."""

    def __init__(self, address: int, rows: int, width: int, stride: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (rows, width),
            "strides": (stride, 1),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


class CudaBuffers:
    """Fills the CUDA buffers of one pipeline.

    Args:
        library: GStreamer with its ``nvcodec`` plugin loaded.
        settings: of the stream; frames are scaled to its size.
        caps: of the buffers.
        ordinal: CUDA's index of the GPU.

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
        # GStreamer 1.22's bindings keep the prefix.
        load = getattr(cuda, "cuda_load_library", None) or cuda.load_library
        if not load():
            raise EncoderUnavailable("GStreamer can't load libcuda.so.1")
        self._context = cuda.CudaContext.new_wrapped(_primary_context(ordinal), ordinal)
        if self._context is None:
            raise EncoderUnavailable(f"GStreamer can't use the context of CUDA device {ordinal}")
        self.context: Any = cuda.context_new_cuda_context(self._context)
        """To be set on the pipeline: unless encoder and buffers share this very object, GStreamer
        silently copies frames through host memory."""
        self._cuda = cuda
        self._pool: Any = self.make_pool(caps, settings.width * settings.height * 3 // 2)

    def make_pool(self, caps: str, size: int) -> Any:
        """Make a pool of reusable buffers in CUDA memory.

        Args:
            caps: of the contents.
            size: of one buffer, bytes, without row padding.

        Raises:
            EncoderUnavailable: out of memory, or GStreamer's CUDA doesn't support these caps.
        """
        gst = self._library.gst
        pool = self._cuda.CudaBufferPool.new(self._context)
        if pool.__grefcount__ > 1:
            # 1.22 transfers its reference and the bindings add another, which nothing would drop.
            self._library.c.gst_object_unref(hash(pool))
        config = pool.get_config()
        gst.BufferPool.config_set_params(config, gst.Caps.from_string(caps), size, POOLED, 0)
        if not (pool.set_config(config) and pool.set_active(True)):
            raise EncoderUnavailable(f"GStreamer can't allocate CUDA memory for frames: {caps}")
        return pool

    def buffer(self, frame: Frame) -> Any:
        """Return a buffer with this frame, scaled and converted, complete on the device.

        Raises:
            CudaMemoryError: no buffer is available.
        """
        flow, buffer = self._pool.acquire_buffer(None)
        if flow != self._library.gst.FlowReturn.OK:
            raise CudaMemoryError("GStreamer is out of CUDA memory")
        width, height = self._settings.width, self._settings.height
        with self.mapped(buffer) as (address, meta):
            luma, chroma = (
                self.plane(address + meta.offset[plane], rows, width, meta.stride[plane])
                for plane, rows in ((0, height), (1, height // 2))
            )
            pixels = frame.on(self._device)
            with in_frame_stream(self._device):
                self._nv12.convert(pixels, luma, chroma)
            synchronize_stream(self._device)
        return buffer

    @contextlib.contextmanager
    def mapped(self, buffer: Any) -> Iterator[tuple[int, Any]]:
        """Map a buffer for writing; yield its device address and the layout of its planes.

        Raises:
            CudaMemoryError: it can't be mapped.
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
        """Return the device memory at this address as ``rows×width`` uint8, without a copy."""
        return torch.as_tensor(_Plane(address, rows, width, stride), device=self._device)

    def close(self) -> None:
        """Free the memory; may be called again."""
        if self._pool is not None:
            self._pool.set_active(False)
        self._pool = self._context = self.context = None


def _primary_context(ordinal: int) -> int:
    """Return the context that PyTorch works in, retained for the life of the process."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    for code in (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(device), ordinal),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
    ):
        if code:
            raise EncoderUnavailable(f"CUDA refused device {ordinal} with code {code}")
    return context.value or 0
