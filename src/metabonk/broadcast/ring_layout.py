"""Bytes of a ring file.

::

    0      demand         what is wanted, until when; by the one who shows it
    64     thought        of a policy that is in another process; by that
    4096   head           positions, sizes; by the trainer, as all that follows
           announcement   JSON
    65536  records        a ring of ``capacity`` bytes

Positions count the bytes that were ever written; that at position p is at p modulo the capacity.
The writer first says up to where it is about to write, then writes, then says up to where records
are whole. So it waits for nobody, and a reader that copies them can tell whether they were
overwritten meanwhile.

Each record is a prefix with its number, its time and a checksum, a payload, and pixels, which the
checksum leaves out: that of a large frame takes longer than to draw a small one.
"""

import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

from metabonk.errors import WireError

MAGIC = int.from_bytes(b"MBK-ring", "little")
FORMAT = 1

HEAD_OFFSET = 4096
RECORDS_OFFSET = 1 << 16

MIN_CAPACITY = 1 << 12
MAX_CAPACITY = 1 << 28

HEAD = struct.Struct("<8Q")
HEAD_WORD = HEAD_OFFSET // 8
ANNOUNCEMENT_OFFSET = HEAD_OFFSET + HEAD.size
MAX_ANNOUNCEMENT = RECORDS_OFFSET - ANNOUNCEMENT_OFFSET

DEMAND = struct.Struct("<2Q")
THOUGHT = struct.Struct("<2Q")
"""Number of the thought, from 1, and the size of its record, which follows."""
THOUGHT_OFFSET = 64
THOUGHT_WORD = THOUGHT_OFFSET // 8
MAX_THOUGHT = HEAD_OFFSET - THOUGHT_OFFSET - THOUGHT.size
PREFIX = struct.Struct("<QdIII4x")
ALIGNMENT = 8
PAGE = 4096
_PREFIX_SIZE = PREFIX.size


class Word(IntEnum):
    """Numbers of the head, 8 bytes each, in their order."""

    MAGIC = 0
    """Written last."""
    FORMAT = 1
    CAPACITY = 2
    ANNOUNCEMENT = 3
    """Size of the announcement."""
    COMMITTED = 4
    """Position up to where records are whole."""
    RESERVED = 5
    """Position up to where the writer may be writing."""
    CLOSED = 6
    """1: there will be no more."""


class Demand(IntEnum):
    """Demand on a trainer."""

    NOTHING = 0
    RECORDS = 1
    FRAMES = 2
    """Records, and frames that the trainer draws itself."""


NOTHING, RECORDS, FRAMES = Demand
"""Members of ``Demand``, which take long to look up."""


class Head(NamedTuple):
    """Numbers of the head; see ``Word``."""

    capacity: int
    announcement: int
    committed: int
    reserved: int
    is_closed: bool


class Entry(NamedTuple):
    """A record as it is in the ring.

    Attributes:
        number: of the record, from 0.
        written_at: seconds on ``time.monotonic()``.
        payload: see ``records``.
        pixels: of a frame; else empty.
    """

    number: int
    written_at: float
    payload: bytes
    pixels: bytes


def file_size(capacity: int) -> int:
    """Return the size of a ring file, bytes."""
    return RECORDS_OFFSET + capacity


def entry_size(payload: int, pixels: int) -> int:
    """Return the bytes that a record takes in the ring."""
    return (_PREFIX_SIZE + payload + pixels + 7) & -ALIGNMENT


def capacity_for(payload: int, pixels: int, count: int) -> int:
    """Return the capacity of a ring for so many such records at once, two or more."""
    pages = -(-count * entry_size(payload, pixels) // PAGE) + 1
    return min(pages * PAGE, MAX_CAPACITY)


def prefix(number: int, written_at: float, payload: bytes, pixels: int) -> bytes:
    """Return what stands before a payload and so many bytes of pixels."""
    return PREFIX.pack(number, written_at, len(payload), pixels, checksum(number, payload))


def checksum(number: int, payload: bytes) -> int:
    """Return the CRC-32 of a payload, which depends on the record's number too."""
    return zlib.crc32(payload, number & 0xFFFFFFFF)


def parse_head(data: bytes, size: int) -> Head:
    """Read the head of an untrusted file.

    Args:
        data: ``HEAD.size`` bytes.
        size: of the file.

    Raises:
        WireError: this is no ring, or not one of this version.
    """
    if len(data) != HEAD.size:
        raise WireError("this is no ring of MetaBonk: it is too short")
    magic, version, capacity, announcement, committed, reserved, closed, _ = HEAD.unpack(data)
    if magic != MAGIC:
        raise WireError("this is no ring of MetaBonk, or not a complete one")
    if version != FORMAT:
        raise WireError(
            f"another version of MetaBonk wrote this ring (format {version}, here {FORMAT}): "
            "install the same one on both sides"
        )
    if not MIN_CAPACITY <= capacity <= MAX_CAPACITY or capacity % ALIGNMENT:
        raise WireError(f"the ring claims a capacity of {capacity} bytes")
    if file_size(capacity) != size:
        raise WireError(f"the ring has {size} bytes, not the {file_size(capacity)} that it claims")
    if announcement > MAX_ANNOUNCEMENT:
        raise WireError(f"the ring claims an announcement of {announcement} bytes")
    if committed % ALIGNMENT:
        raise WireError(f"the ring claims to end at {committed}")
    # The writer may have been between the two.
    return Head(capacity, announcement, committed, max(committed, reserved), bool(closed))


def split(data: bytes) -> list[Entry]:
    """Split what was copied from a ring, which begins and ends with a record.

    Args:
        data: from an untrusted source.

    Raises:
        WireError: it is damaged.
    """
    entries, at = list[Entry](), 0
    while at < len(data):
        if at + PREFIX.size > len(data):
            raise WireError("a record of the ring ends too early")
        number, written_at, payload_size, pixel_size, claimed = PREFIX.unpack_from(data, at)
        start = at + PREFIX.size
        size = entry_size(payload_size, pixel_size)
        payload = data[start : start + payload_size]
        if at + size > len(data) or claimed != checksum(number, payload):
            raise WireError("a record of the ring is damaged")
        if entries and number != entries[-1].number + 1:
            raise WireError(f"record {number} of the ring follows record {entries[-1].number}")
        pixels = data[start + payload_size : start + payload_size + pixel_size]
        entries.append(Entry(number, written_at, payload, pixels))
        at += size
    return entries
