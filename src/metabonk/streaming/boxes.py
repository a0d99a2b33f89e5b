"""Boxes of an MP4 file with one video track (ISO/IEC 14496-12). Pure."""

import struct

from metabonk.encoding.access_unit import TIMESCALE

TRACK = 1

IDENTITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box (4.2)."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """Return a box with a version and flags (4.2)."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def movie_header(duration: int = 0) -> bytes:
    """Return ``mvhd`` (8.2.2); a duration of 0 leaves it to the fragments."""
    return full_box(
        b"mvhd",
        *(0, 0),
        struct.pack(">4I", 0, 0, TIMESCALE, duration),
        struct.pack(">IHH8x", 0x10000, 0x100, 0),
        IDENTITY_MATRIX,
        struct.pack(">24xI", TRACK + 1),
    )


def track(sample_table: bytes, width: int, height: int, duration: int = 0) -> bytes:
    """Return ``trak`` (8.3).

    Args:
        sample_table: ``stbl``.
        width: at which it is shown, pixels.
        height: at which it is shown, pixels.
        duration: ``1/TIMESCALE`` seconds; 0 leaves it to the fragments.
    """
    enabled_in_movie = 0x000003
    tkhd = full_box(
        b"tkhd",
        0,
        enabled_in_movie,
        struct.pack(">5I8x", 0, 0, TRACK, 0, duration),
        struct.pack(">4H", 0, 0, 0, 0),
        IDENTITY_MATRIX,
        struct.pack(">2I", width << 16, height << 16),
    )
    undetermined_language = 0x55C4
    mdhd = full_box(
        b"mdhd", 0, 0, struct.pack(">4I2H", 0, 0, TIMESCALE, duration, undetermined_language, 0)
    )
    hdlr = full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"vide"), b"MetaBonk\0")
    in_this_file = full_box(b"url ", 0, 0x000001)
    minf = box(
        b"minf",
        full_box(b"vmhd", 0, 1, bytes(8)),
        box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), in_this_file)),
        sample_table,
    )
    return box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, minf))


def sample_table(descriptions: list[bytes], *tables: bytes) -> bytes:
    """Return ``stbl`` (8.5): how samples are coded, and the tables of where they are.

    Args:
        descriptions: sample entries, which the table of chunks counts from 1.
        tables: ``stts``, ``stsc``, ``stsz`` and others.
    """
    count = struct.pack(">I", len(descriptions))
    return box(b"stbl", full_box(b"stsd", 0, 0, count, *descriptions), *tables)
