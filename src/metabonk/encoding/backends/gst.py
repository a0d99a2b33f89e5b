"""GStreamer's encoders: x264, VA-API, and NVENC from host or CUDA memory.

A frame goes in and its access unit comes out in the same call, as with ``backends.av``, although
the pipeline runs in its own thread. Colours, profile and rate control match ``backends.av``.
``gst_elements`` describes the pipelines, ``gst_library`` loads them.
"""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends.av import AvEncoder, encoder_threads
from metabonk.encoding.backends.gst_elements import (
    COLORIMETRY_RGB,
    NVIDIA,
    PLUGINS,
    Element,
    candidates,
    cuda_caps,
    pipeline,
)
from metabonk.encoding.backends.gst_library import CudaMemoryError, Library, glib_error, library
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import CUDA_SOURCE
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.frame import Frame
from metabonk.settings.schema import available_cores

ORIGIN_NS = 3_600_000 * 1_000_000_000
"""First timestamp inside the pipeline. x264enc shifts earlier ones to the 1000th hour to leave room
for decoding timestamps before it (gst_video_encoder_set_min_pts)."""

POLL_NS = 100_000_000
"""Poll interval for pipeline errors while waiting for an access unit."""

MEMORY_READONLY = 2  # GST_MEMORY_FLAG_READONLY


class _Failed(Exception):
    """The pipeline failed; carries its message."""


class GstEncoder:
    """An open GStreamer encoder.

    Args:
        settings: of the stream.
        source: ``appsrc`` passes frames in host memory, ``cuda_appsrc`` in CUDA memory.
        encoder: ``x264enc``, ``nvh264enc`` or ``vah264enc``.
        ordinal: CUDA's index of the GPU that NVENC encodes on.

    Raises:
        EncoderUnavailable: it can't be opened; carries NVENC's code if the driver returned one.
    """

    def __init__(
        self, settings: EncoderSettings, source: str, encoder: str, ordinal: int = 0
    ) -> None:
        self.backend = f"gst:{source}:{encoder}"
        self._settings = settings
        self._captured_at: dict[int, float] = {}
        self._last_pts = ORIGIN_NS
        self._first_captured_at: float | None = None
        self._caps = (0, 0)
        self._error: str | None = None
        self._held: NDArray[np.uint8] | None = None
        self._library = library()
        self._library.load(PLUGINS[encoder])
        element = _element(self._library, settings, encoder, ordinal)
        self._cuda: Any = None
        if source == CUDA_SOURCE:
            # Imported on demand: only this source needs PyTorch.
            module = importlib.import_module("metabonk.encoding.backends.gst_cuda")
            caps = cuda_caps(element, settings)
            self._cuda = module.CudaBuffers(self._library, settings, caps, ordinal)
        self._pipeline: Any = self._launch(element)
        self._source = self._pipeline.get_by_name("source")
        self._sink = self._pipeline.get_by_name("sink")
        self._send_upstream = self._pipeline.get_by_name("encoder").get_static_pad("src").send_event
        try:
            self._open()
        except (_Failed, CudaMemoryError) as error:
            self.close()
            raise EncoderUnavailable(
                f"GStreamer can't open {element.name}: {error}",
                nvenc_code=_nvenc_code(ordinal) if encoder == NVIDIA else None,
            ) from None

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encode a frame; see ``Encoder.encode``.

        Raises:
            EncoderBroken: GStreamer rejected the frame, or the session is closed.
        """
        if self._pipeline is None:
            raise EncoderBroken(f"{self.backend} is closed")
        try:
            return self._encode(frame, keyframe=keyframe or self._first_captured_at is None)
        except (_Failed, CudaMemoryError) as error:
            raise EncoderBroken(f"{self.backend} stopped working: {error}") from None

    def close(self) -> None:
        """Free the session at once; may be called again."""
        if self._pipeline is not None:
            self._pipeline.set_state(self._library.gst.State.NULL)
        if self._cuda is not None:
            self._cuda.close()
        self._pipeline = self._source = self._sink = self._send_upstream = self._held = None

    def _open(self) -> None:
        """Start the pipeline and encode a black frame, discarding the result.

        An encoder element opens its session at the first frame, and whether that works must be
        known when the constructor returns.

        Raises:
            _Failed: the session can't be opened.
        """
        gst = self._library.gst
        if self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            raise _Failed(self._failure())
        black = np.zeros((self._settings.height, self._settings.width, 3), np.uint8)
        self._push(Frame(black, 0.0), ORIGIN_NS)
        self._pull()

    def _encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        gst, video = self._library.gst, self._library.video
        if keyframe:
            self._send_upstream(
                video.video_event_new_upstream_force_key_unit(gst.CLOCK_TIME_NONE, True, 0)
            )
        self._push(frame, self._pts_of(frame))
        units = [self._unit(self._pull())]
        while sample := self._sink.try_pull_sample(0):
            units.append(self._unit(sample))
        return units

    def _push(self, frame: Frame, pts: int) -> None:
        if self._cuda is not None:
            buffer = self._cuda.buffer(frame)
        else:
            self._set_source_size(frame.width, frame.height)
            self._held = _pad_rows(frame.pixels)
            buffer = self._wrap(self._held)
        buffer.pts = pts
        if self._source.push_buffer(buffer) != self._library.gst.FlowReturn.OK:
            raise _Failed(self._failure())

    def _launch(self, element: Element) -> Any:
        gst = self._library.gst
        try:
            made = gst.parse_launch(pipeline(element, self._settings, cuda=self._cuda is not None))
        except glib_error() as error:
            raise EncoderUnavailable(
                f"GStreamer can't make the pipeline of {element.name}: {error.message}"
            ) from None
        encoder = made.get_by_name("encoder")
        for name, value in element.properties:
            if encoder.find_property(name):
                gst.util_set_object_arg(encoder, name, str(value))
        if self._cuda is not None:
            made.set_context(self._cuda.context)
            caps = gst.Caps.from_string(cuda_caps(element, self._settings))
            made.get_by_name("source").set_caps(caps)
        return made

    def _set_source_size(self, width: int, height: int) -> None:
        """Tell the pipeline the size of the following frames."""
        if self._caps != (width, height):
            self._caps = (width, height)
            caps = (
                f"video/x-raw,format=RGB,width={width},height={height},"
                f"framerate={self._settings.fps}/1,pixel-aspect-ratio=1/1,"
                f"interlace-mode=progressive,colorimetry={COLORIMETRY_RGB}"
            )
            self._source.set_caps(self._library.gst.Caps.from_string(caps))

    def _wrap(self, pixels: NDArray[np.uint8]) -> Any:
        """Return a buffer that wraps these pixels; the bindings would copy them twice.

        ``_held`` keeps them alive while the pipeline reads them: until the access unit is out.
        """
        buffer = self._library.gst.Buffer.new()
        memory = self._library.c.gst_memory_new_wrapped(
            MEMORY_READONLY, pixels.ctypes.data, pixels.nbytes, 0, pixels.nbytes, None, None
        )
        # The hash of a PyGObject boxed object is the address it wraps.
        self._library.c.gst_buffer_append_memory(hash(buffer), memory)
        return buffer

    def _pts_of(self, frame: Frame) -> int:
        if self._first_captured_at is None:
            self._first_captured_at = frame.captured_at - 1 / self._settings.fps
        # Timestamps must increase, and rounding could make two equal.
        pts = ORIGIN_NS + round((frame.captured_at - self._first_captured_at) * 1e9)
        self._last_pts = max(self._last_pts + 1, pts)
        self._captured_at[self._last_pts] = frame.captured_at
        return self._last_pts

    def _pull(self) -> Any:
        """Wait for the next access unit, as a sample.

        Raises:
            _Failed: the pipeline failed.
        """
        while True:
            if sample := self._sink.try_pull_sample(POLL_NS):
                return sample
            if self._sink.is_eos() or self._has_failed():
                raise _Failed(self._failure())

    def _unit(self, sample: Any) -> AccessUnit:
        buffer = sample.get_buffer()
        delta = buffer.has_flags(self._library.gst.BufferFlags.DELTA_UNIT)
        data = buffer.extract_dup(0, buffer.get_size())
        return AccessUnit(bytes(data), self._captured_at_of(buffer.pts), not delta)

    def _captured_at_of(self, pts: int) -> float:
        """Return the frame's capture time, discarding those of frames the encoder skipped."""
        for older in [time for time in self._captured_at if time < pts]:
            del self._captured_at[older]
        return self._captured_at.pop(pts)

    def _has_failed(self) -> bool:
        return self._pipeline.get_bus().have_pending() and self._bus_error() is not None

    def _failure(self) -> str:
        """Return the pipeline's error message."""
        return self._bus_error() or "no reason given"

    def _bus_error(self) -> str | None:
        message = self._pipeline.get_bus().pop_filtered(self._library.gst.MessageType.ERROR)
        if message is not None and self._error is None:
            error, detail = message.parse_error()
            last = (detail or "").strip().splitlines()[-1:]
            self._error = ": ".join([error.message.rstrip("."), *last])
        return self._error


def _element(library: Library, settings: EncoderSettings, encoder: str, ordinal: int) -> Element:
    """Return the best element that the loaded plugins provide.

    Raises:
        EncoderUnavailable: they provide none.
    """
    threads = encoder_threads(available_cores())
    elements = candidates(encoder, library.version, settings, ordinal, threads)
    for element in elements:
        if library.has(element.name):
            return element
    names = " nor ".join(element.name for element in elements)
    if encoder != NVIDIA:
        raise EncoderUnavailable(f"GStreamer's plugin has no {names} for this machine")
    code = _nvenc_code(ordinal)
    raise EncoderUnavailable(
        f"GStreamer finds no {names}: its plugin could open no NVENC session "
        + (f"(code {code})" if code else "when this process loaded it"),
        nvenc_code=code,
    )


def _nvenc_code(ordinal: int) -> int | None:
    """Return the driver's code for refusing a session, which GStreamer doesn't pass on.

    Opens one through FFmpeg, under the lease intended for the pipeline.
    """
    settings = EncoderSettings(width=640, height=360, fps=30, bitrate=1_000_000, gop_s=1.0)
    try:
        AvEncoder(settings, "h264_nvenc", ordinal).close()
    except EncoderUnavailable as error:
        return error.nvenc_code
    return None


def _pad_rows(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels in GStreamer's RGB layout: contiguous, rows padded to four bytes."""
    padding = -pixels.shape[1] * 3 % 4
    if padding:
        rows = pixels.reshape(pixels.shape[0], -1)
        return np.pad(rows, ((0, 0), (0, padding)))
    return np.ascontiguousarray(pixels)
