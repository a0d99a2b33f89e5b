"""Statistics that a stream reports of itself."""

from dataclasses import dataclass

from metabonk.encoding.encoder import EncoderSettings
from metabonk.messages.workers import StreamState


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The stream's share of the status.

    Attributes:
        enabled: false where there will be no stream.
        state: what the stream is doing.
        reason: why, as a sentence.
        backend: of the open encoder; empty without one.
        settings: of the open encoder.
        quality: why they are not the wanted ones, as a sentence.
        last_error: the last failure, kept after recovery.
        nvenc_slot: held by this stream.
        frames_ok: frames encoded.
        frames_fps: frames drawn or repeated per second.
        frames_dropped: frames drawn and never encoded.
    """

    enabled: bool
    state: StreamState
    reason: str
    backend: str
    settings: EncoderSettings | None
    quality: str | None
    last_error: str | None
    nvenc_slot: int | None
    frames_ok: int
    frames_fps: float
    frames_dropped: int

    @property
    def error(self) -> str | None:
        """Why there is no video, or None while there is."""
        return None if self.state is StreamState.LIVE else self.reason
