"""Scalars in TensorBoard's event files, read without TensorFlow or TensorBoard. Pure.

A file is a sequence of records: eight bytes of length, four of its checksum, the data, four of its
checksum (tensorflow/core/lib/io/record_writer.h). The data is an ``Event`` as protocol buffers
encode it (tensorflow/core/util/event.proto, protobuf.dev/programming-guides/encoding).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEAD, TAIL = 12, 4
"""Bytes of a record before and after its data."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

EVENT_TIME, EVENT_STEP, EVENT_SUMMARY = 1, 2, 5
SUMMARY_VALUE = 1
VALUE_TAG, VALUE_NUMBER = 1, 2
"""Numbers of the fields."""


class Scalars(NamedTuple):
    """Values of one time.

    Attributes:
        step: that they belong to.
        time: Unix time, seconds.
        values: by tag.
    """

    step: int
    time: float
    values: dict[str, float]


def read_scalars(data: bytes) -> tuple[list[Scalars], int]:
    """Read the whole records at the start of ``data``.

    Returns:
        Those that have scalars, and the bytes that all of them take; a record that is still being
        written is left for later.

    Raises:
        ValueError: the data is no event file.
    """
    found, position = [], 0
    while position + HEAD <= len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        end = position + HEAD + length
        if end + TAIL > len(data):
            break
        scalars = _scalars(data[position + HEAD : end])
        if scalars.values:
            found.append(scalars)
        position = end + TAIL
    return found, position


def _scalars(event: bytes) -> Scalars:
    step, time, values = 0, 0.0, {}
    for field, value in _fields(event):
        if field == EVENT_STEP and isinstance(value, int):
            step = value
        elif field == EVENT_TIME and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif field == EVENT_SUMMARY and isinstance(value, bytes):
            for number, summary in _fields(value):
                if number == SUMMARY_VALUE and isinstance(summary, bytes):
                    values.update(_value(summary))
    return Scalars(step, time, values)


def _value(summary: bytes) -> dict[str, float]:
    tag, number = "", None
    for field, value in _fields(summary):
        if field == VALUE_TAG and isinstance(value, bytes):
            tag = value.decode(errors="replace")
        elif field == VALUE_NUMBER and isinstance(value, bytes) and len(value) == 4:
            (number,) = struct.unpack("<f", value)
    return {} if number is None else {tag: number}


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: their numbers, and integers or bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(message, position)
            yield field, value
            continue
        if kind == BYTES:
            size, position = _varint(message, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} is not of an event file")
        if position + size > len(message):
            raise ValueError("an event is cut off")
        yield field, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ValueError("an integer is cut off")
