"""Interface of every encoder."""

from dataclasses import dataclass
from typing import Protocol

from metabonk.encoding.access_unit import AccessUnit
from metabonk.frame import Frame

BUFFER_S = 0.25
"""Rate-control buffer: how long the stream may exceed its bitrate, and hence how large a keyframe
may grow (docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Parameters of a stream, independent of the encoder.

    Attributes:
        width: of the coded frame, pixels; even, because chroma is halved.
        height: of the coded frame, pixels; even.
        fps: nominal frames per second; frames may arrive irregularly.
        bitrate: target and, beyond a fraction of a second, maximum; bit/s.
        gop_s: maximum keyframe interval at the nominal rate, seconds.
    """

    width: int
    height: int
    fps: int
    bitrate: int
    gop_s: float

    def __str__(self) -> str:
        return f"{self.width}×{self.height} at {self.fps} frames/s"

    @property
    def gop_frames(self) -> int:
        """Maximum keyframe interval, frames."""
        return max(1, round(self.gop_s * self.fps))


class Encoder(Protocol):
    """An open encoder session, used by one thread.

    Attributes:
        backend: ``engine:source:encoder`` or ``engine:encoder``, as shown in the status.
    """

    backend: str

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encode a frame, scaled to the stream's size if it differs.

        Args:
            frame: newer than the previous one.
            keyframe: make it an IDR picture.

        Returns:
            Access units that are ready, oldest first; an encoder with a delay returns older frames.

        Raises:
            EncoderBroken: the session is unusable; close it.
        """
        ...

    def close(self) -> None:
        """Free the session at once; may be called again."""
        ...
