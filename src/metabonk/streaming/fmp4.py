"""H.264 access units as fragmented MP4, one fragment a frame. Pure.

ITU-T H.264, Annex B (the byte stream), ISO/IEC 14496-12 (the boxes) and 14496-15 (H.264 in them).
Why not a library's muxer: ``docs/adr/0001-own-fmp4-packager.md``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from metabonk.streaming.boxes import TRACK, box, full_box, movie_header, sample_table, track

# 14496-12, 8.8.3.1: sample_depends_on (2: on no other, 1: on others), sample_is_non_sync_sample.
SYNC_SAMPLE = 2 << 24
NON_SYNC_SAMPLE = 1 << 24 | 1 << 16

# 14496-15, 5.3.3.1: profiles whose configuration record has fields beyond the parameter sets.
HIGH_PROFILES = frozenset((100, 110, 122, 144))

# Of a fragment's sequence_number, after moof and the header of mfhd; and of its
# baseMediaDecodeTime, after traf, tfhd, and the header of tfdt.
SEQUENCE_AT = 8 + 12
DECODE_TIME_AT = SEQUENCE_AT + 4 + 8 + 16 + 12


class NalType(IntEnum):
    """Values of ``nal_unit_type`` that matter here (ITU-T H.264, table 7-1)."""

    IDR_SLICE = 5
    SEQUENCE_PARAMETERS = 7
    PICTURE_PARAMETERS = 8
    ACCESS_UNIT_DELIMITER = 9
    FILLER = 12


# An avc1 track has its parameter sets in the sample entry and nowhere else (14496-15, 5.4.2.1).
# Delimiters and filler are redundant in a container that knows where samples start and end.
STRIPPED_NALS = frozenset(
    (
        NalType.SEQUENCE_PARAMETERS,
        NalType.PICTURE_PARAMETERS,
        NalType.ACCESS_UNIT_DELIMITER,
        NalType.FILLER,
    )
)


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Parameter sets, which a decoder needs before the first frame.

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
        """The type for ``MediaSource.addSourceBuffer``."""
        return f'video/mp4; codecs="{self.codec}"'


def nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a byte stream, without start codes, with emulation prevention.

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
    """Return ``nal_unit_type`` of a non-empty NAL unit."""
    return unit[0] & 0x1F


def parameter_sets(data: bytes) -> ParameterSets | None:
    """Return the SPS and PPS of an Annex B access unit; None if either is missing."""
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
    """Return an Annex B access unit as an ``avc1`` sample."""
    kept = (unit for unit in nal_units(data) if nal_type(unit) not in STRIPPED_NALS)
    return length_prefixed_units(*kept)


def length_prefixed_units(*units: bytes) -> bytes:
    """Return NAL units, each after its length in four bytes."""
    return b"".join(part for unit in units for part in (len(unit).to_bytes(4, "big"), unit))


def init_segment(
    parameters: ParameterSets, width: int, height: int, *, in_band: bool = False
) -> bytes:
    """Return ``ftyp`` and ``moov``: everything but samples (14496-12, 8.8 for fragmented files).

    Args:
        parameters: of the stream.
        width: of the frame, pixels.
        height: of the frame, pixels.
        in_band: samples carry parameter sets too, and may change them (``avc3``).
    """
    # default-base-is-moof came with the brand iso5 (14496-12, 8.8.7.1).
    ftyp = box(b"ftyp", b"iso5", struct.pack(">I", 1), b"iso5", b"iso6", b"avc1", b"mp41")
    entry = sample_entry(parameters, width, height, b"avc3" if in_band else b"avc1")
    in_fragments = sample_table(
        [entry],
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    trex = full_box(b"trex", 0, 0, struct.pack(">5I", TRACK, 1, 0, 0, NON_SYNC_SAMPLE))
    moov = box(b"moov", movie_header(), track(in_fragments, width, height), box(b"mvex", trex))
    return ftyp + moov


def fragment(sample: bytes, *, sequence: int, decode_time: int, duration: int, sync: bool) -> bytes:
    """Return ``moof`` and ``mdat`` with one sample (14496-12, 8.8.4 to 8.8.8 and 8.8.12).

    Args:
        sample: from ``length_prefixed``.
        sequence: number of the fragment, increasing.
        decode_time: ``1/TIMESCALE`` seconds on the epoch's clock; also the presentation time, since
            frames are never reordered.
        duration: ``1/TIMESCALE`` seconds.
        sync: True if decoding can start here.
    """
    header = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    default_base_is_moof = 0x020000
    tfhd = full_box(b"tfhd", 0, default_base_is_moof, struct.pack(">I", TRACK))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", decode_time))
    # data-offset, then duration, size and flags of the sample
    present = 0x000001 | 0x000100 | 0x000200 | 0x000400
    flags = SYNC_SAMPLE if sync else NON_SYNC_SAMPLE
    trun_size, boxes_around = 32, 8 + 8
    data_offset = boxes_around + len(header) + len(tfhd) + len(tfdt) + trun_size + 8
    trun = full_box(
        b"trun", 0, present, struct.pack(">I4I", 1, data_offset, duration, len(sample), flags)
    )
    return b"".join(
        (
            box(b"moof", header, box(b"traf", tfhd, tfdt, trun)),
            struct.pack(">I4s", 8 + len(sample), b"mdat"),
            sample,
        )
    )


def sample_of(packed: bytes) -> memoryview:
    """Return the sample of a ``fragment``, uncopied."""
    return memoryview(packed)[int.from_bytes(packed[:4], "big") + 8 :]


def sequence_number(packed: bytes) -> int:
    """Return the number of a ``fragment``."""
    return int.from_bytes(packed[SEQUENCE_AT : SEQUENCE_AT + 4], "big")


def with_decode_time(packed: bytes, decode_time: int) -> bytes:
    """Return a ``fragment`` with another decode time."""
    return b"".join(
        (
            packed[:DECODE_TIME_AT],
            struct.pack(">Q", decode_time),
            memoryview(packed)[DECODE_TIME_AT + 8 :],
        )
    )


def sample_entry(
    parameters: ParameterSets, width: int, height: int, kind: bytes = b"avc1"
) -> bytes:
    """Return the sample entry of a stream (14496-15, 5.4.2.1).

    Args:
        parameters: of the stream.
        width: of the frame, pixels.
        height: of the frame, pixels.
        kind: ``avc1``, or ``avc3`` where samples carry parameter sets.
    """
    dots_per_inch_72 = 0x480000
    return box(
        kind,
        struct.pack(">6xH16x", 1),
        struct.pack(">2H2I4xH", width, height, dots_per_inch_72, dots_per_inch_72, 1),
        struct.pack(">32xHh", 0x18, -1),
        _configuration(parameters),
    )


def _configuration(parameters: ParameterSets) -> bytes:
    """Return ``avcC`` (14496-15, 5.3.3.1): four-byte lengths, one SPS, one PPS."""
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
        # 4:2:0, 8-bit luma and chroma, as all encoders here are configured; no SPS extension.
        record.append(b"\xfd\xf8\xf8\x00")
    return box(b"avcC", *record)
