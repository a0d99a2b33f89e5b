"""FFmpeg's encoders through PyAV: libx264, and NVENC from host or CUDA memory.

Frames are sRGB. They are coded as limited-range Y'CbCr with BT.709's matrix and primaries and
sRGB's transfer curve, and the stream says so in its VUI (ITU-T H.264, E.2.1): otherwise players
guess by the frame's size, and colours shift.

The profile is Constrained Baseline, which WebRTC must decode (RFC 7742, 6.2), so one encode serves
every kind of viewer. At libx264's fastest preset, which uses neither CABAC nor the 8×8 transform,
the next higher profile would change nothing but the label.
"""

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from metabonk.encoding.access_unit import TIMESCALE, AccessUnit
from metabonk.encoding.encoder import BUFFER_S, EncoderSettings
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.frame import Frame
from metabonk.settings.schema import available_cores

TIME_BASE = Fraction(1, TIMESCALE)

MATRIX_BT709 = 1  # AVCOL_SPC_BT709: the same number as matrix_coefficients in table E-5

LIBX264 = {"preset": "ultrafast", "tune": "zerolatency"}
NVENC = {"preset": "p4", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0"}

OPEN_REFUSED = re.compile(r"OpenEncodeSessionEx failed: .*?\((\d+)\)")


class AvEncoder:
    """An open FFmpeg encoder.

    Args:
        settings: of the stream.
        codec: FFmpeg's name, ``libx264`` or ``h264_nvenc``.
        ordinal: CUDA's index of the GPU that NVENC encodes on; libx264 ignores it.
        cuda: feed NVENC frames in CUDA memory, converted there.

    Raises:
        EncoderUnavailable: it can't be opened; carries NVENC's code if the driver returned one.
    """

    def __init__(
        self, settings: EncoderSettings, codec: str, ordinal: int = 0, *, cuda: bool = False
    ) -> None:
        self.backend = f"av:cuda:{codec}" if cuda else f"av:{codec}"
        self._captured_at: dict[int, float] = {}
        self._last_pts = -1
        self._started = not cuda
        self._convert = _cuda_converter(settings, ordinal) if cuda else HostConverter(settings)
        context = _context(settings, codec, ordinal, "cuda" if cuda else "yuv420p")
        # FFmpeg learns from the first CUDA frame in which CUDA context to open the session.
        black = Frame(np.zeros((settings.height, settings.width, 3), np.uint8), 0.0)
        _open(context, codec, self._timed(black) if cuda else None)
        self._context: VideoCodecContext | None = context

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encode a frame; see ``Encoder.encode``.

        Raises:
            EncoderBroken: FFmpeg refused the frame, or the session is closed.
        """
        if self._context is None:
            raise EncoderBroken(f"{self.backend} is closed")
        video_frame = self._timed(frame)
        # The stream's keyframe is the first real frame, not the black one that opened the session.
        keyframe, self._started = keyframe or not self._started, True
        video_frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        with _ffmpeg_errors() as errors:
            try:
                packets = self._context.encode(video_frame)
            except FFmpegError as error:
                reason = _describe(errors, error)
                raise EncoderBroken(f"{self.backend} stopped working: {reason}") from error
        return [
            AccessUnit(bytes(packet), self._captured_at_of(packet.pts), packet.is_keyframe)
            for packet in packets
        ]

    def close(self) -> None:
        """Free the session at once; may be called again."""
        # PyAV offers no close: FFmpeg's context is freed with its last reference.
        self._context = None

    def _timed(self, frame: Frame) -> VideoFrame:
        video_frame = self._convert(frame)
        # Encoders reject timestamps that don't increase, and rounding could make two equal.
        self._last_pts = max(self._last_pts + 1, round(frame.captured_at * TIMESCALE))
        self._captured_at[self._last_pts] = frame.captured_at
        video_frame.pts = self._last_pts
        video_frame.time_base = TIME_BASE
        return video_frame

    def _captured_at_of(self, pts: int | None) -> float:
        """Return the frame's capture time, discarding those of frames the encoder skipped."""
        assert pts is not None, "FFmpeg passes every frame's timestamp on to its packet"
        for older in [time for time in self._captured_at if time < pts]:
            del self._captured_at[older]
        return self._captured_at.pop(pts)


class HostConverter:
    """Scales and converts frames on the CPU; a repeated one is converted once.

    Args:
        settings: of the stream; frames are scaled to its size.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._reformatter = VideoReformatter()
        self._last: tuple[NDArray[np.uint8], VideoFrame] | None = None

    def __call__(self, frame: Frame) -> VideoFrame:
        """Return the frame as YUV 4:2:0 in host memory."""
        if self._last is None or self._last[0] is not frame.pixels:
            self._last = frame.pixels, self._convert(frame.pixels)
        return self._last[1]

    def _convert(self, pixels: NDArray[np.uint8]) -> VideoFrame:
        if pixels.strides[1:] != (3, 1):
            pixels = np.ascontiguousarray(pixels)
        return self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(pixels, format="rgb24"),
            width=self._settings.width,
            height=self._settings.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            # Two threads are slower (docs/benchmarks.md).
            threads=1,
        )


def _cuda_converter(settings: EncoderSettings, ordinal: int) -> Callable[[Frame], VideoFrame]:
    # Imported on demand: only this source needs PyTorch.
    module = importlib.import_module("metabonk.encoding.backends.av_cuda")
    converter: Callable[[Frame], VideoFrame] = module.CudaConverter(settings, ordinal)
    return converter


def _context(
    settings: EncoderSettings, codec: str, ordinal: int, pix_fmt: str
) -> VideoCodecContext:
    try:
        context = cast(VideoCodecContext, CodecContext.create(codec, "w"))
    except ValueError:
        raise EncoderUnavailable(f"this build of PyAV has no encoder {codec}") from None
    context.width, context.height = settings.width, settings.height
    context.pix_fmt = pix_fmt
    context.time_base = TIME_BASE
    context.framerate = Fraction(settings.fps)
    context.gop_size = settings.gop_frames
    context.max_b_frames = 0
    context.bit_rate = settings.bitrate
    context.color_range = ColorRange.MPEG
    context.colorspace = MATRIX_BT709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.IEC61966_2_1
    context.thread_count = encoder_threads(available_cores())
    # As FFmpeg's global-header flag isn't set, both encoders put SPS and PPS before every IDR.
    context.options = {
        "profile": "baseline",
        "forced-idr": "1",
        "maxrate": str(settings.bitrate),
        "bufsize": str(round(settings.bitrate * BUFFER_S)),
        **(LIBX264 if codec == "libx264" else NVENC | {"gpu": str(ordinal)}),
    }
    return context


def _open(context: VideoCodecContext, codec: str, first: VideoFrame | None) -> None:
    """Open the session, by encoding the ``first`` frame if it takes one."""
    with _ffmpeg_errors() as errors:
        try:
            if first is None:
                context.open()
            else:
                context.encode(first)
        except FFmpegError as error:
            reason = _describe(errors, error)
            refused = OPEN_REFUSED.search(reason)
            raise EncoderUnavailable(
                f"FFmpeg can't open {codec}: {reason}",
                nvenc_code=int(refused[1]) if refused else None,
            ) from error


def encoder_threads(cores: int) -> int:
    """Return the number of encoder threads; few, since they compete with games and learner.

    More threads pay off only on idle cores (docs/benchmarks.md).
    """
    return 1 if cores <= 4 else 2 if cores <= 8 else 4


@contextlib.contextmanager
def _ffmpeg_errors() -> Iterator[list[tuple[int, str, str]]]:
    """Collect the errors FFmpeg logs in this thread: NVENC's codes appear only in its log.

    This sets up PyAV's logging for the whole process: errors only, including repeated ones. Outside
    this block they go to Python's ``logging`` as ``libav.*``.
    """
    if av.logging.get_level() != av.logging.ERROR:
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture() as records:
        yield records


def _describe(errors: list[tuple[int, str, str]], error: FFmpegError) -> str:
    """Return FFmpeg's messages in one line, or its error code's text if there are none."""
    messages = [message.strip().rstrip(".") for _, _, message in errors]
    return "; ".join(dict.fromkeys(filter(None, messages))) or error.strerror or str(error)
