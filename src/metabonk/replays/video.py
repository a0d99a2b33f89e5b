"""MP4 files of replays: they play while they are written, and seek once they are whole."""

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from metabonk.encoding.backends.av import encoder_threads
from metabonk.errors import EncodingError
from metabonk.frame import Frame
from metabonk.games.preprocessing import letterbox
from metabonk.settings.schema import available_cores
from metabonk.system.files import PARTIAL_SUFFIX

MAX_FPS = 60

LIBX264 = {"preset": "ultrafast", "crf": "24"}
"""Half the time of the next slower preset (docs/benchmarks.md)."""

# A fragment a frame, until FFmpeg makes an ordinary file of them by writing an index behind them
# and a few bytes in front.
MUXER = {
    "movflags": "frag_every_frame+empty_moov+default_base_moof+hybrid_fragmented",
    "flush_packets": "1",
}

MAX_DISTORTION = 0.01
"""Difference of aspect ratios that is not worth black bars."""


class ReplayVideo:
    """An MP4 file, written as ``<file>.partial`` until it is whole.

    A context manager: left without an error, the file gets its name; otherwise nothing is left. It
    takes no lease: it is not live, and software encoding is not scarce for it.

    Args:
        file: to be written; replaced if it exists.
        size: width and height, pixels, even; frames of another aspect ratio get black bars.
        tics_per_s: pace of the game. Beyond ``MAX_FPS``, every other tic is shown, or every n-th.

    Attributes:
        frames: number of frames written.

    Raises:
        EncodingError: it can't be written.
    """

    def __init__(self, file: Path, *, size: tuple[int, int], tics_per_s: float) -> None:
        self.frames = 0
        self._file = file
        self._partial = file.with_name(file.name + PARTIAL_SUFFIX)
        self._size = size
        self._stride = math.ceil(tics_per_s / MAX_FPS)
        self._tic_s = 1 / Fraction(tics_per_s).limit_denominator(1000)
        self._reformatter = VideoReformatter()
        self._last: tuple[int, VideoFrame] | None = None
        try:
            # FFmpeg opens the file only at the first frame; report an invalid path at once.
            self._partial.open("wb").close()
            self._container: OutputContainer = av.open(
                str(self._partial), "w", format="mp4", options=MUXER
            )
            self._stream = self._open_stream()
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def shows(self, tic: int) -> bool:
        """Tell whether the frame after this tic is part of the video."""
        return tic % self._stride == 0

    def add(self, frame: Frame, tic: int) -> None:
        """Add the frame after a tic.

        Args:
            frame: of any size.
            tic: number of tics since the beginning; increases.

        Raises:
            EncodingError: it can't be written.
        """
        video_frame = self._converted(frame.pixels)
        video_frame.pts = tic
        video_frame.time_base = self._tic_s
        self._encode(video_frame)
        self._last = tic, video_frame

    def hold(self, tic: int) -> None:
        """Keep the last frame on screen until the end of this tic.

        Raises:
            EncodingError: it can't be written.
        """
        if self._last is not None and self._last[0] < tic:
            _, video_frame = self._last
            video_frame.pts = tic
            self._encode(video_frame)
            self._last = tic, video_frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if error is None:
                self._partial.replace(self._file)
        except (FFmpegError, OSError) as failure:
            if error is None:
                raise self._failed(failure) from None
        finally:
            self._partial.unlink(missing_ok=True)

    def _open_stream(self) -> VideoStream:
        fps = 1 / self._tic_s / self._stride
        stream = self._container.add_stream("libx264", rate=fps)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.options = dict(LIBX264)
        context = stream.codec_context
        context.time_base = self._tic_s
        context.gop_size = max(1, round(fps))  # One second.
        # Frames in the order they are shown: the first is shown at 0.
        context.max_b_frames = 0
        context.thread_count = encoder_threads(available_cores())
        # sRGB, as in the live stream.
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.IEC61966_2_1
        return stream

    def _converted(self, pixels: NDArray[np.uint8]) -> VideoFrame:
        width, height = self._size
        distortion = (pixels.shape[1] * height) / (pixels.shape[0] * width)
        if abs(distortion - 1) > MAX_DISTORTION:
            pixels = letterbox(pixels, width, height)
        return self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), format="rgb24"),
            width=width,
            height=height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def _encode(self, video_frame: VideoFrame) -> None:
        try:
            self._container.mux(self._stream.encode(video_frame))
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None
        self.frames += 1

    def _failed(self, error: OSError | FFmpegError) -> EncodingError:
        return EncodingError(f"the video {self._file} can't be written: {error.strerror or error}")
