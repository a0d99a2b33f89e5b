"""What every encoder is given and does."""

from dataclasses import dataclass
from typing import Protocol

from metabonk.encoding.frame import AccessUnit, Frame


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How a stream is encoded, whatever encodes it.

    Attributes:
        width: of the coded picture, pixels; even, as chroma is halved.
        height: of the coded picture, pixels; even.
        fps: nominal frames per second; frames may come irregularly.
        bitrate: target and, beyond a fraction of a second, limit; bit/s.
        gop_s: longest distance of two keyframes at the nominal rate, seconds.
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
        """Longest distance of two keyframes, frames."""
        return max(1, round(self.gop_s * self.fps))


class Encoder(Protocol):
    """An open encoder session. One thread uses it.

    Attributes:
        backend: ``engine:source:encoder`` or ``engine:encoder``, as the status shows it.
    """

    backend: str

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        """Encodes a frame, scaled to the stream's size where it differs.

        Args:
            frame: newer than the one before.
            keyframe: whether it must become an IDR picture.

        Returns:
            What is ready now, oldest first; an encoder that works ahead returns older frames.

        Raises:
            EncoderBroken: the session is of no more use; close it.
        """
        ...

    def close(self) -> None:
        """Frees the session at once; may be repeated."""
        ...
