"""Writes pictures into an MP4 file that any player opens."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from metabonk.errors import EncodingError

QUALITY = {"preset": "veryfast", "crf": "20"}
PARTIAL = ".partial"


class Recording:
    """An MP4 file that grows by a picture at a time; it appears under its name when it is whole.

    Nothing waits for it and nobody else needs the encoder, so it takes no session.

    Args:
        file: to be written; one of that name is replaced.
        fps: pictures a second.

    Raises:
        EncodingError: it can't be written.
    """

    def __init__(self, file: Path, *, fps: int) -> None:
        self._file = file
        self._fps = fps
        self._partial = file.with_name(file.name + PARTIAL)
        self._reformatter = VideoReformatter()
        self._stream: VideoStream | None = None
        self.frames = 0
        try:
            # FFmpeg opens it with the first picture only; a mistake in its name is better seen now.
            self._partial.open("wb").close()
            self._container: OutputContainer = av.open(
                str(self._partial), "w", format="mp4", options={"movflags": "faststart"}
            )
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Adds a picture, ``H×W×3`` uint8 RGB; the first one decides on the size.

        Raises:
            EncodingError: it can't be written.
        """
        try:
            if self._stream is None:
                self._stream = self._open_stream(pixels)
            picture = self._reformatter.reformat(
                VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
                width=self._stream.width,
                height=self._stream.height,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            picture.pts = self.frames
            picture.time_base = Fraction(1, self._fps)
            self.frames += 1
            self._container.mux(self._stream.encode(picture))
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._stream is not None and not isinstance(error, EncodingError):
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if self.frames and not isinstance(error, EncodingError):
                self._partial.replace(self._file)
        except (FFmpegError, OSError) as failure:
            raise self._failed(failure) from None
        finally:
            self._partial.unlink(missing_ok=True)

    def _open_stream(self, pixels: NDArray[np.uint8]) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps)
        # Chroma is halved, so both sides are even.
        stream.height, stream.width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {**QUALITY}
        # sRGB, as the live stream says it is.
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.IEC61966_2_1
        return stream

    def _failed(self, error: FFmpegError | OSError) -> EncodingError:
        return EncodingError(f"the video {self._file} can't be written: {error.strerror or error}")
