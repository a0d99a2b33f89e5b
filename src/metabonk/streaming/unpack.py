"""Epochs and fragments, read from the messages of a stream that another process has packed. Pure.

The inverse of ``fmp4``, for relays: it reads what that module writes and nothing else.
"""

from typing import Annotated

from pydantic import Field, TypeAdapter

from metabonk.encoding.access_unit import AccessUnit
from metabonk.errors import WireError
from metabonk.messages.streams import (
    EpochMessage,
    PolicyMessage,
    SaliencyMessage,
    StateMessage,
    StillMessage,
    ThoughtMessage,
)
from metabonk.streaming.fmp4 import DECODE_TIME_AT, SYNC_SAMPLE, ParameterSets, sample_of
from metabonk.streaming.gop import Epoch, Fragment

MOOF_SIZE = 100
"""Bytes of the ``moof`` of every fragment; the last four are its sample's flags."""

START_CODE = b"\0\0\0\1"

StreamMessage = (
    PolicyMessage | StateMessage | EpochMessage | ThoughtMessage | SaliencyMessage | StillMessage
)
MESSAGE: TypeAdapter[StreamMessage] = TypeAdapter(
    Annotated[StreamMessage, Field(discriminator="type")]
)
Read = PolicyMessage | StateMessage | SaliencyMessage | StillMessage | Epoch | Fragment


class StreamReader:
    """Reads the messages of one connection to a stream, in order."""

    def __init__(self) -> None:
        self._epoch: Epoch | None = None
        self._announced: EpochMessage | None = None
        self._thoughts: list[str] = []

    def read(self, message: str | bytes, received_at: float) -> Read | None:
        """Return what a message completes; None: something that belongs to the next one.

        Args:
            message: of the WebSocket.
            received_at: seconds, monotonic.

        Raises:
            WireError: it belongs to nothing.
            pydantic.ValidationError: it is malformed.
        """
        if isinstance(message, str):
            return self._read_text(message)
        if self._announced is not None:
            self._epoch, self._announced = read_epoch(self._announced, message), None
            return self._epoch
        if self._epoch is None:
            raise WireError(f"{len(message)} bytes came before any epoch was announced")
        thoughts, self._thoughts = tuple(self._thoughts), []
        return read_fragment(self._epoch, message, received_at, thoughts)

    def _read_text(self, text: str) -> Read | None:
        match MESSAGE.validate_json(text):
            case ThoughtMessage():
                self._thoughts.append(text)
            case EpochMessage() as announced:
                self._announced = announced
            case told:
                return told
        return None


def read_epoch(announcement: EpochMessage, init: bytes) -> Epoch:
    """Return an epoch from its announcement and init segment.

    Raises:
        WireError: this is no init segment of ``fmp4``.
    """
    return Epoch(
        announcement.epoch,
        _parameter_sets(init),
        announcement.width,
        announcement.height,
        announcement.fps,
        init,
    )


def read_fragment(
    epoch: Epoch, data: bytes, received_at: float, thoughts: tuple[str, ...] = ()
) -> Fragment:
    """Return a fragment from its bytes.

    Args:
        epoch: that it belongs to.
        data: ``moof`` and ``mdat``.
        received_at: stands for the capture time, which doesn't travel; seconds, monotonic.
        thoughts: that came before it.

    Raises:
        WireError: this is no fragment of ``fmp4``.
    """
    moof = MOOF_SIZE.to_bytes(4, "big") + b"moof"
    mdat = (len(data) - MOOF_SIZE).to_bytes(4, "big", signed=True) + b"mdat"
    if data[:8] != moof or data[MOOF_SIZE : MOOF_SIZE + 8] != mdat:
        raise WireError(f"expected a fragment, got {len(data)} bytes that begin {data[:8]!r}")
    keyframe = int.from_bytes(data[MOOF_SIZE - 4 : MOOF_SIZE], "big") == SYNC_SAMPLE
    decode_time = int.from_bytes(data[DECODE_TIME_AT : DECODE_TIME_AT + 8], "big")
    parameters = epoch.parameters
    units = [parameters.sequence, parameters.picture] if keyframe else []
    units += _nal_units(bytes(sample_of(data)))
    byte_stream = b"".join(START_CODE + unit for unit in units)
    return Fragment(AccessUnit(byte_stream, received_at, keyframe), decode_time, data, thoughts)


def _nal_units(sample: bytes) -> list[bytes]:
    units, at = [], 0
    while at < len(sample):
        begin = at + 4
        at = begin + int.from_bytes(sample[at:begin], "big")
        units.append(sample[begin:at])
    if at != len(sample):
        raise WireError(f"expected a sample of {at} bytes, got {len(sample)}")
    return units


def _parameter_sets(init: bytes) -> ParameterSets:
    """Read ``avcC`` (14496-15, 5.3.3.1)."""
    name, fixed = b"avcC", 6
    at = init.find(name) + len(name) + fixed
    sequence, at = _prefixed(init, at)
    picture, at = _prefixed(init, at + 1)
    if name not in init or len(sequence) < 4 or not picture:
        raise WireError(f"expected an init segment, got {len(init)} bytes that begin {init[:8]!r}")
    return ParameterSets(sequence, picture)


def _prefixed(data: bytes, at: int) -> tuple[bytes, int]:
    """Return what follows its own length in two bytes, and where it ends."""
    begin = at + 2
    end = begin + int.from_bytes(data[at:begin], "big")
    return data[begin:end], end
