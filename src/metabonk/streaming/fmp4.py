"""Packs H.264 access units as fragmented MP4, one fragment a picture. Pure.

ISO/IEC 14496-12 (the boxes) and 14496-15 (H.264 in them). Why not a library's muxer:
``docs/adr/0001-own-fmp4-packager.md``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
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


TIMESCALE = 90_000
"""Media time units a second: the clock of RTP and MPEG-TS, so that all outputs agree."""

TRACK = 1

# 14496-12, 8.8.3.1: sample_depends_on (2: on no other, 1: on others), sample_is_non_sync_sample.
SYNC_SAMPLE = 2 << 24
NON_SYNC_SAMPLE = 1 << 24 | 1 << 16

# 14496-15, 5.3.3.1: profiles whose configuration record says more than the first three bytes.
HIGH_PROFILES = frozenset((100, 110, 122, 144))

# Parameter sets of an ``avc1`` track are in its sample entry and nowhere else (14496-15, 5.4.2.1).
# Delimiters and filler say nothing in a container that knows where a sample starts and ends.
NOT_IN_SAMPLES = frozenset(
    (
        NalType.SEQUENCE_PARAMETERS,
        NalType.PICTURE_PARAMETERS,
        NalType.ACCESS_UNIT_DELIMITER,
        NalType.FILLER,
    )
)

IDENTITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """What a decoder needs before the first picture.

    Attributes:
        sequence: the SPS, a NAL unit.
        picture: the PPS, a NAL unit.
    """

    sequence: bytes
    picture: bytes

    @property
    def codec(self) -> str:
        """The ``codecs`` parameter ``avc1.PPCCLL`` (RFC 6381, 3.3)."""
        return f"avc1.{self.sequence[1:4].hex().upper()}"

    @property
    def mime(self) -> str:
        """For ``MediaSource.addSourceBuffer``."""
        return f'video/mp4; codecs="{self.codec}"'


def parameter_sets(data: bytes) -> ParameterSets | None:
    """The SPS and PPS in an Annex B access unit; None where one of them is missing."""
    found: dict[int, bytes] = {}
    for unit in nal_units(data):
        kind = nal_type(unit)
        if kind in (NalType.SEQUENCE_PARAMETERS, NalType.PICTURE_PARAMETERS):
            found.setdefault(kind, unit)
    sequence = found.get(NalType.SEQUENCE_PARAMETERS)
    picture = found.get(NalType.PICTURE_PARAMETERS)
    if sequence is None or picture is None or len(sequence) < 4:
        return None
    return ParameterSets(sequence, picture)


def length_prefixed(data: bytes) -> bytes:
    """An Annex B access unit as an ``avc1`` sample: each unit behind its length in four bytes."""
    parts = []
    for unit in nal_units(data):
        if nal_type(unit) not in NOT_IN_SAMPLES:
            parts += [len(unit).to_bytes(4, "big"), unit]
    return b"".join(parts)


def init_segment(parameters: ParameterSets, width: int, height: int) -> bytes:
    """``ftyp`` and ``moov``: everything but pictures (14496-12, 8.8 for the fragmented kind).

    Args:
        parameters: of the stream.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    # default-base-is-moof came with the brand iso5 (14496-12, 8.8.7.1).
    ftyp = _box(b"ftyp", b"iso5", struct.pack(">I", 1), b"iso5", b"iso6", b"avc1", b"mp41")
    mvhd = _full_box(
        b"mvhd",
        *(0, 0),
        struct.pack(">4I", 0, 0, TIMESCALE, 0),
        struct.pack(">IHH8x", 0x10000, 0x100, 0),
        IDENTITY,
        struct.pack(">24xI", TRACK + 1),
    )
    trex = _full_box(b"trex", 0, 0, struct.pack(">5I", TRACK, 1, 0, 0, NON_SYNC_SAMPLE))
    return ftyp + _box(b"moov", mvhd, _track(parameters, width, height), _box(b"mvex", trex))


def fragment(sample: bytes, *, sequence: int, decode_time: int, duration: int, sync: bool) -> bytes:
    """``moof`` and ``mdat`` with one sample (14496-12, 8.8.4 to 8.8.8 and 8.8.12).

    Args:
        sample: from ``length_prefixed``.
        sequence: number of the fragment, growing.
        decode_time: ``1/TIMESCALE`` seconds on the epoch's clock; also the presentation time, as
            pictures are never reordered.
        duration: ``1/TIMESCALE`` seconds.
        sync: whether decoding can start here.
    """
    header = _full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    default_base_is_moof = 0x020000
    tfhd = _full_box(b"tfhd", 0, default_base_is_moof, struct.pack(">I", TRACK))
    tfdt = _full_box(b"tfdt", 1, 0, struct.pack(">Q", decode_time))
    # data-offset, then duration, size and flags of the sample
    present = 0x000001 | 0x000100 | 0x000200 | 0x000400
    flags = SYNC_SAMPLE if sync else NON_SYNC_SAMPLE
    trun_size, boxes_around = 32, 8 + 8
    data_offset = boxes_around + len(header) + len(tfhd) + len(tfdt) + trun_size + 8
    trun = _full_box(
        b"trun", 0, present, struct.pack(">I4I", 1, data_offset, duration, len(sample), flags)
    )
    return b"".join(
        (
            _box(b"moof", header, _box(b"traf", tfhd, tfdt, trun)),
            struct.pack(">I4s", 8 + len(sample), b"mdat"),
            sample,
        )
    )


def _track(parameters: ParameterSets, width: int, height: int) -> bytes:
    enabled_in_movie = 0x000003
    tkhd = _full_box(
        b"tkhd",
        0,
        enabled_in_movie,
        struct.pack(">5I8x", 0, 0, TRACK, 0, 0),
        struct.pack(">4H", 0, 0, 0, 0),
        IDENTITY,
        struct.pack(">2I", width << 16, height << 16),
    )
    undetermined_language = 0x55C4
    mdhd = _full_box(
        b"mdhd", 0, 0, struct.pack(">4I2H", 0, 0, TIMESCALE, 0, undetermined_language, 0)
    )
    hdlr = _full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"vide"), b"MetaBonk\0")
    in_this_file = _full_box(b"url ", 0, 0x000001)
    minf = _box(
        b"minf",
        _full_box(b"vmhd", 0, 1, bytes(8)),
        _box(b"dinf", _full_box(b"dref", 0, 0, struct.pack(">I", 1), in_this_file)),
        _sample_table(parameters, width, height),
    )
    return _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf))


def _sample_table(parameters: ParameterSets, width: int, height: int) -> bytes:
    """``stbl``: how samples are coded; where they are is in the fragments."""
    dots_per_inch_72 = 0x480000
    avc1 = _box(
        b"avc1",
        struct.pack(">6xH16x", 1),
        struct.pack(">2H2I4xH", width, height, dots_per_inch_72, dots_per_inch_72, 1),
        struct.pack(">32xHh", 0x18, -1),
        _configuration(parameters),
    )
    return _box(
        b"stbl",
        _full_box(b"stsd", 0, 0, struct.pack(">I", 1), avc1),
        _full_box(b"stts", 0, 0, bytes(4)),
        _full_box(b"stsc", 0, 0, bytes(4)),
        _full_box(b"stsz", 0, 0, bytes(8)),
        _full_box(b"stco", 0, 0, bytes(4)),
    )


def _configuration(parameters: ParameterSets) -> bytes:
    """``avcC`` (14496-15, 5.3.3.1): lengths take four bytes, one SPS, one PPS."""
    sequence, picture = parameters.sequence, parameters.picture
    record = [
        b"\x01",
        sequence[1:4],
        b"\xff\xe1",
        struct.pack(">H", len(sequence)),
        sequence,
        b"\x01",
        struct.pack(">H", len(picture)),
        picture,
    ]
    if sequence[1] in HIGH_PROFILES:
        # 4:2:0, 8 bits luma and chroma: all that our encoders are fed; no SPS extension.
        record.append(b"\xfd\xf8\xf8\x00")
    return _box(b"avcC", *record)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
