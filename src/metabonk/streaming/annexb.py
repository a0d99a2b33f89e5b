"""Takes an H.264 byte stream apart (ITU-T H.264, Annex B). Pure."""

from collections.abc import Iterator
from enum import IntEnum


class NalType(IntEnum):
    """``nal_unit_type`` of the units that are told apart here (ITU-T H.264, table 7-1)."""

    IDR_SLICE = 5
    SEQUENCE_PARAMETERS = 7
    PICTURE_PARAMETERS = 8
    ACCESS_UNIT_DELIMITER = 9
    FILLER = 12


def nal_units(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream, without start codes; emulation prevention stays in.

    A unit never ends in a zero byte (7.4.1), so zeros in front of a start code belong to the byte
    stream (``zero_byte``, ``trailing_zero_8bits``) and not to the unit.
    """
    start = data.find(b"\0\0\1")
    while start >= 0:
        begin = start + 3
        start = data.find(b"\0\0\1", begin)
        unit = data[begin : start if start >= 0 else len(data)].rstrip(b"\0")
        if unit:
            yield unit


def nal_type(unit: bytes) -> int:
    """``nal_unit_type`` of a non-empty NAL unit."""
    return unit[0] & 0x1F
