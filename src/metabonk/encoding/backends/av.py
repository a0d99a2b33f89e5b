"""Encoders of FFmpeg, through PyAV: libx264, and NVENC from host or CUDA memory.

Pictures are sRGB. They are coded as limited-range Y'CbCr with BT.709's matrix and primaries and
sRGB's transfer curve, and the stream says so in its VUI (ITU-T H.264, E.2.1): without it players
guess by the size of the picture, and colours shift.

The profile is Constrained Baseline: it is what WebRTC has to decode (RFC 7742, 6.2), so one encode
serves every kind of viewer. At libx264's fastest preset, which uses neither CABAC nor the 8×8
transform, the next profile up would change nothing but the label.
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

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import AccessUnit, Frame
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.settings.schema import available_cores

TIMESCALE = 90_000
TIME_BASE = Fraction(1, TIMESCALE)

BUFFER_S = 0.25
"""Of the rate control: how long the stream may exceed its bitrate, and so how large a keyframe may
grow. Measured with libx264 at 4 Mbit/s, 1280×720: 0.25 s keeps keyframes under 85 KB, 1 s lets
them grow to 155 KB, which is a third of a second of the bitrate at once."""

MATRIX_BT709 = 1  # AVCOL_SPC_BT709: the same number as matrix_coefficients in table E-5

LIBX264 = {"preset": "ultrafast", "tune": "zerolatency"}
NVENC = {"preset": "p4", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0"}

OPEN_REFUSED = re.compile(r"OpenEncodeSessionEx failed: .*?\((\d+)\)")


class AvEncoder:
    """An open encoder of FFmpeg.

    Args:
        settings: of the stream.
        codec: FFmpeg's name, ``libx264`` or ``h264_nvenc``.
        ordinal: CUDA's number of the GPU that NVENC encodes on; libx264 has no use for it.
        cuda: whether NVENC is given pictures in CUDA memory, converted there.

    Raises:
        EncoderUnavailable: it can't be opened; carries NVENC's code where the driver gave one.
    """

    def __init__(
        self, settings: EncoderSettings, codec: str, ordinal: int = 0, *, cuda: bool = False
    ) -> None:
        self.backend = f"av:cuda:{codec}" if cuda else f"av:{codec}"
        self._captured_at: dict[int, float] = {}
        self._last_pts = -1
        self._began = not cuda
        self._picture = _in_cuda_memory(settings, ordinal) if cuda else HostPictures(settings)
        context = _context(settings, codec, ordinal, "cuda" if cuda else "yuv420p")
        # FFmpeg learns only from a picture in which CUDA context to open the session.
        black = Frame(np.zeros((settings.height, settings.width, 3), np.uint8), 0.0)
        _open(context, codec, self._timed(black) if cuda else None)
        self._context: VideoCodecContext | None = context

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encodes a frame; see ``Encoder.encode``.

        Raises:
            EncoderBroken: FFmpeg refused the frame, or the session is closed.
        """
        if self._context is None:
            raise EncoderBroken(f"{self.backend} is closed")
        picture = self._timed(frame)
        # Nobody saw the black picture that the stream began with.
        keyframe, self._began = keyframe or not self._began, True
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        with _errors_of_ffmpeg() as errors:
            try:
                packets = self._context.encode(picture)
            except FFmpegError as error:
                reason = _sentence(errors, error)
                raise EncoderBroken(f"{self.backend} stopped working: {reason}") from error
        return [
            AccessUnit(bytes(packet), self._captured_at_of(packet.pts), packet.is_keyframe)
            for packet in packets
        ]

    def close(self) -> None:
        """Frees the session at once; may be repeated."""
        # PyAV has no other way: FFmpeg's context is freed with the last reference to it.
        self._context = None

    def _timed(self, frame: Frame) -> VideoFrame:
        picture = self._picture(frame)
        # An encoder refuses a time that doesn't grow, and rounding could make two of them equal.
        self._last_pts = max(self._last_pts + 1, round(frame.captured_at * TIMESCALE))
        self._captured_at[self._last_pts] = frame.captured_at
        picture.pts = self._last_pts
        picture.time_base = TIME_BASE
        return picture

    def _captured_at_of(self, pts: int | None) -> float:
        """The frame's own time; frames that the encoder left out before it are forgotten."""
        assert pts is not None, "FFmpeg hands every frame's time on to its packet"
        for older in [time for time in self._captured_at if time < pts]:
            del self._captured_at[older]
        return self._captured_at.pop(pts)


class HostPictures:
    """Scales and converts on the processor.

    Args:
        settings: of the stream; pictures are scaled to its size.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Frame) -> VideoFrame:
        """The frame as the encoder takes it."""
        pixels = frame.host_pixels
        if pixels.strides[1:] != (3, 1):
            pixels = np.ascontiguousarray(pixels)
        return self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(pixels, format="rgb24"),
            width=self._settings.width,
            height=self._settings.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            # Two measured slower than one: 3.2 ms a frame, 3.6 with two, at 1280×720.
            threads=1,
        )


def _in_cuda_memory(settings: EncoderSettings, ordinal: int) -> Callable[[Frame], VideoFrame]:
    # Imports PyTorch, which the other sources have no use for.
    module = importlib.import_module("metabonk.encoding.backends.av_cuda")
    make: Callable[[Frame], VideoFrame] = module.CudaPictures(settings, ordinal)
    return make


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
    context.thread_count = threads_of(available_cores())
    # Without FFmpeg's global-header flag, which containers set and this does not, both
    # encoders put SPS and PPS in front of every IDR picture.
    context.options = {
        "profile": "baseline",
        "forced-idr": "1",
        "maxrate": str(settings.bitrate),
        "bufsize": str(round(settings.bitrate * BUFFER_S)),
        **(LIBX264 if codec == "libx264" else NVENC | {"gpu": str(ordinal)}),
    }
    return context


def _open(context: VideoCodecContext, codec: str, first: VideoFrame | None) -> None:
    """Opens the session, with the ``first`` picture where it takes one to do so."""
    with _errors_of_ffmpeg() as errors:
        try:
            if first is None:
                context.open()
            else:
                context.encode(first)
        except FFmpegError as error:
            reason = _sentence(errors, error)
            refused = OPEN_REFUSED.search(reason)
            raise EncoderUnavailable(
                f"FFmpeg can't open {codec}: {reason}",
                nvenc_code=int(refused[1]) if refused else None,
            ) from error


def threads_of(cores: int) -> int:
    """Threads of the encoder: one, where they would only take from the games and the learner.

    On two cores libx264 with one thread takes 8.4 ms of CPU for a 1280×720 frame and is the
    fastest; two threads take 10.2 ms. More pay only for more pixels on cores that idle.
    """
    return 1 if cores <= 4 else 2 if cores <= 8 else 4


@contextlib.contextmanager
def _errors_of_ffmpeg() -> Iterator[list[tuple[int, str, str]]]:
    """Collects what FFmpeg logs as errors in this thread: only its log has the codes of NVENC.

    This is where PyAV's logging is set up, for the whole process: errors only, each of them, also
    one that repeats the last. Outside of this block they go to Python's ``logging`` as ``libav.*``.
    """
    if av.logging.get_level() != av.logging.ERROR:
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture() as records:
        yield records


def _sentence(errors: list[tuple[int, str, str]], error: FFmpegError) -> str:
    """All that FFmpeg said, in one line; its error code's text where it said nothing."""
    said = [message.strip().rstrip(".") for _, _, message in errors]
    return "; ".join(dict.fromkeys(filter(None, said))) or error.strerror or str(error)
