"""Encoders of GStreamer: x264, VA-API, and NVENC from host or CUDA memory.

A frame goes in and its access unit comes out, in one call, as with ``backends.av``; inside, the
pipeline works in a thread of its own. Colours, profile and rate control are those of
``backends.av`` too. ``gst_elements`` says what a pipeline is made of, ``gst_library`` loads it.
"""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabonk.encoding.backends.av import AvEncoder, threads_of
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
from metabonk.encoding.frame import AccessUnit, Frame
from metabonk.encoding.ladder import CUDA_SOURCE
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.settings.schema import available_cores

ORIGIN_NS = 3_600_000 * 1_000_000_000
"""When a stream begins inside the pipeline. x264enc moves one that begins earlier to its 1000th
hour, so that it has room for decoding times before it (gst_video_encoder_set_min_pts)."""

GLANCE_NS = 100_000_000
"""How long a wait for an access unit lasts before it is looked whether the pipeline has failed."""

MEMORY_READONLY = 2  # GST_MEMORY_FLAG_READONLY


class _Failed(Exception):
    """The pipeline failed; what it says."""


class GstEncoder:
    """An open encoder of GStreamer.

    Args:
        settings: of the stream.
        source: ``appsrc``: frames in host memory; ``cuda_appsrc``: from anywhere, but the encoder
            gets them in CUDA memory.
        encoder: ``x264enc``, ``nvh264enc`` or ``vah264enc``.
        ordinal: CUDA's number of the GPU that NVENC encodes on.

    Raises:
        EncoderUnavailable: it can't be opened; carries NVENC's code where the driver gave one.
    """

    def __init__(
        self, settings: EncoderSettings, source: str, encoder: str, ordinal: int = 0
    ) -> None:
        self.backend = f"gst:{source}:{encoder}"
        self._settings = settings
        self._captured_at: dict[int, float] = {}
        self._last_pts = ORIGIN_NS
        self._began_at: float | None = None
        self._caps = (0, 0)
        self._error: str | None = None
        self._held: NDArray[np.uint8] | None = None
        self._library = library()
        self._library.load(PLUGINS[encoder])
        element = _element(self._library, settings, encoder, ordinal)
        self._cuda: Any = None
        if source == CUDA_SOURCE:
            # Imports PyTorch, which the other sources have no use for.
            module = importlib.import_module("metabonk.encoding.backends.cuda_frames")
            caps = cuda_caps(element, settings)
            self._cuda = module.CudaFrames(self._library, settings, caps, ordinal)
        self._pipeline: Any = self._launch(element)
        self._source = self._pipeline.get_by_name("source")
        self._sink = self._pipeline.get_by_name("sink")
        self._force = self._pipeline.get_by_name("encoder").get_static_pad("src").send_event
        try:
            self._open()
        except (_Failed, CudaMemoryError) as error:
            self.close()
            raise EncoderUnavailable(
                f"GStreamer can't open {element.name}: {error}",
                nvenc_code=_nvenc_code(ordinal) if encoder == NVIDIA else None,
            ) from None

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encodes a frame; see ``Encoder.encode``.

        Raises:
            EncoderBroken: GStreamer refused the frame, or the session is closed.
        """
        if self._pipeline is None:
            raise EncoderBroken(f"{self.backend} is closed")
        try:
            return self._encode(frame, keyframe=keyframe or self._began_at is None)
        except (_Failed, CudaMemoryError) as error:
            raise EncoderBroken(f"{self.backend} stopped working: {error}") from None

    def close(self) -> None:
        """Frees the session at once; may be repeated."""
        if self._pipeline is not None:
            self._pipeline.set_state(self._library.gst.State.NULL)
        if self._cuda is not None:
            self._cuda.close()
        self._pipeline = self._source = self._sink = self._force = self._held = None

    def _open(self) -> None:
        """Starts the pipeline and encodes a black picture that nobody sees.

        An encoder element opens its session with the first picture; it must be open, or known not
        to, when the constructor ends.

        Raises:
            _Failed: it doesn't.
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
            self._force(video.video_event_new_upstream_force_key_unit(gst.CLOCK_TIME_NONE, True, 0))
        self._push(frame, self._time_of(frame))
        units = [self._unit(self._pull())]
        while sample := self._sink.try_pull_sample(0):
            units.append(self._unit(sample))
        return units

    def _push(self, frame: Frame, pts: int) -> None:
        if self._cuda is not None:
            buffer = self._cuda.buffer(frame.nearest_pixels)
        else:
            self._expect(frame.width, frame.height)
            self._held = _rows_of_whole_words(frame.host_pixels)
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

    def _expect(self, width: int, height: int) -> None:
        """Tells the pipeline of which size the frames are from now on."""
        if self._caps != (width, height):
            self._caps = (width, height)
            described = (
                f"video/x-raw,format=RGB,width={width},height={height},"
                f"framerate={self._settings.fps}/1,pixel-aspect-ratio=1/1,"
                f"interlace-mode=progressive,colorimetry={COLORIMETRY_RGB}"
            )
            self._source.set_caps(self._library.gst.Caps.from_string(described))

    def _wrap(self, pixels: NDArray[np.uint8]) -> Any:
        """A buffer of these very pixels: the bindings would copy them twice.

        ``_held`` keeps them for as long as the pipeline reads them, which is until the access unit
        has come out.
        """
        buffer = self._library.gst.Buffer.new()
        memory = self._library.c.gst_memory_new_wrapped(
            MEMORY_READONLY, pixels.ctypes.data, pixels.nbytes, 0, pixels.nbytes, None, None
        )
        # A boxed object of PyGObject hashes to the address that it stands for.
        self._library.c.gst_buffer_append_memory(hash(buffer), memory)
        return buffer

    def _time_of(self, frame: Frame) -> int:
        if self._began_at is None:
            self._began_at = frame.captured_at - 1 / self._settings.fps
        # Times must grow, and rounding could make two of them equal.
        since = ORIGIN_NS + round((frame.captured_at - self._began_at) * 1e9)
        self._last_pts = max(self._last_pts + 1, since)
        self._captured_at[self._last_pts] = frame.captured_at
        return self._last_pts

    def _pull(self) -> Any:
        """The next access unit as a sample; waits for it, as for an encoder called directly.

        Raises:
            _Failed: the pipeline did.
        """
        while True:
            if sample := self._sink.try_pull_sample(GLANCE_NS):
                return sample
            if self._sink.is_eos() or self._has_failed():
                raise _Failed(self._failure())

    def _unit(self, sample: Any) -> AccessUnit:
        buffer = sample.get_buffer()
        delta = buffer.has_flags(self._library.gst.BufferFlags.DELTA_UNIT)
        data = buffer.extract_dup(0, buffer.get_size())
        return AccessUnit(bytes(data), self._captured_at_of(buffer.pts), not delta)

    def _captured_at_of(self, pts: int) -> float:
        """The frame's own time; frames that the encoder left out before it are forgotten."""
        for older in [time for time in self._captured_at if time < pts]:
            del self._captured_at[older]
        return self._captured_at.pop(pts)

    def _has_failed(self) -> bool:
        return self._pipeline.get_bus().have_pending() and self._said() is not None

    def _failure(self) -> str:
        """What the pipeline says went wrong."""
        return self._said() or "it doesn't say why"

    def _said(self) -> str | None:
        message = self._pipeline.get_bus().pop_filtered(self._library.gst.MessageType.ERROR)
        if message is not None and self._error is None:
            error, detail = message.parse_error()
            last = (detail or "").strip().splitlines()[-1:]
            self._error = ": ".join([error.message.rstrip("."), *last])
        return self._error


def _element(library: Library, settings: EncoderSettings, encoder: str, ordinal: int) -> Element:
    """The best element that the loaded plugins have.

    Raises:
        EncoderUnavailable: they have none.
    """
    threads = threads_of(available_cores())
    wanted = candidates(encoder, library.version, settings, ordinal, threads)
    for element in wanted:
        if library.has(element.name):
            return element
    names = " nor ".join(element.name for element in wanted)
    if encoder != NVIDIA:
        raise EncoderUnavailable(f"GStreamer's plugin has no {names} for this machine")
    code = _nvenc_code(ordinal)
    raise EncoderUnavailable(
        f"GStreamer finds no {names}: its plugin could open no NVENC session "
        + (f"(code {code})" if code else "when this process loaded it"),
        nvenc_code=code,
    )


def _nvenc_code(ordinal: int) -> int | None:
    """Why the driver opens no session, which GStreamer keeps to itself: FFmpeg asks it again.

    Under the lease that the pipeline was to have.
    """
    small = EncoderSettings(width=640, height=360, fps=30, bitrate=1_000_000, gop_s=1.0)
    try:
        AvEncoder(small, "h264_nvenc", ordinal).close()
    except EncoderUnavailable as error:
        return error.nvenc_code
    return None


def _rows_of_whole_words(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels as GStreamer lays RGB out: contiguous, a row filled up to four bytes."""
    filled = -pixels.shape[1] * 3 % 4
    if filled:
        rows = pixels.reshape(pixels.shape[0], -1)
        return np.pad(rows, ((0, 0), (0, filled)))
    return np.ascontiguousarray(pixels)
