"""MP4 files that any player opens."""

from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from metabonk.errors import EncodingError
from metabonk.frame import Frame

QUALITY = {"preset": "veryfast", "crf": "20"}
PARTIAL_SUFFIX = ".partial"


class Recording:
    """An MP4 file written frame by frame; it gets its name once it is complete.

    It takes no lease: it is not live, and software encoding is not scarce for it.

    Args:
        file: to be written; replaced if it exists.
        fps: frames per second.

    Attributes:
        frames: number of frames written.

    Raises:
        EncodingError: it can't be written.
    """

    def __init__(self, file: Path, *, fps: int) -> None:
        self._file = file
        self._fps = fps
        self._partial = file.with_name(file.name + PARTIAL_SUFFIX)
        self._reformatter = VideoReformatter()
        self._stream: VideoStream | None = None
        self.frames = 0
        try:
            # FFmpeg opens the file only at the first frame; report an invalid path at once.
            self._partial.open("wb").close()
            self._container: OutputContainer = av.open(
                str(self._partial), "w", format="mp4", options={"movflags": "faststart"}
            )
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def add(self, frame: Frame) -> None:
        """Add a frame; the first one determines the size.

        Raises:
            EncodingError: it can't be written.
        """
        try:
            if self._stream is None:
                self._stream = self._open_stream(frame)
            video_frame = self._reformatter.reformat(
                VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24"),
                width=self._stream.width,
                height=self._stream.height,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            video_frame.pts = self.frames
            video_frame.time_base = Fraction(1, self._fps)
            self.frames += 1
            self._container.mux(self._stream.encode(video_frame))
        except (FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Whatever else interrupts a recording, the frames so far are kept.
        complete = not isinstance(error, EncodingError)
        try:
            if self._stream is not None and complete:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if self.frames and complete:
                self._partial.replace(self._file)
        except (FFmpegError, OSError) as failure:
            raise self._failed(failure) from None
        finally:
            self._partial.unlink(missing_ok=True)

    def _open_stream(self, frame: Frame) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps)
        # Chroma is halved, so both sides are even.
        stream.height, stream.width = frame.height // 2 * 2, frame.width // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = dict(QUALITY)
        # sRGB, as in the live stream.
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.IEC61966_2_1
        return stream

    def _failed(self, error: OSError | FFmpegError) -> EncodingError:
        return EncodingError(f"the video {self._file} can't be written: {error.strerror or error}")
