"""``metabonk.streaming.fmp4``, checked against FFmpeg's demuxer and decoder."""

import io
import struct
from collections.abc import Iterator

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.streaming import fmp4
from metabonk.streaming.fmp4 import (
    ParameterSets,
    fragment,
    init_segment,
    length_prefixed,
    nal_type,
    nal_units,
    with_decode_time,
)
from tests.support.frames import brightness, encode_frames, regular_times

IRREGULAR = [1000.0, 1000.0001, 1000.02, 1000.9, 1000.91, 1001.0]


def packed(times: list[float], keyframes: tuple[int, ...] = ()) -> bytes:
    units = encode_frames(times, keyframes=keyframes)
    parameters = fmp4.parameter_sets(units[0].data)
    assert parameters is not None
    return init_segment(parameters, 320, 180) + b"".join(
        fragment(
            length_prefixed(unit.data),
            sequence=i + 1,
            decode_time=round(unit.captured_at * 90_000),
            duration=3000,
            sync=unit.keyframe,
        )
        for i, unit in enumerate(units)
    )


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, f"box {kind} of {size} bytes at {at}"
        yield kind.decode(), data[at + 8 : at + size]
        at += size


def find(data: bytes, *path: str) -> bytes:
    for kind in path:
        data = dict(boxes(data))[kind]
    return data


@pytest.mark.parametrize("times", [regular_times(12), IRREGULAR])
def test_a_demuxer_reads_back_every_time_and_every_keyframe(times: list[float]):
    with av.open(io.BytesIO(packed(times, keyframes=(3,)))) as file:
        packets = [packet for packet in file.demux() if packet.size]
    assert [packet.pts for packet in packets] == [round(time * 90_000) for time in times]
    assert [packet.dts for packet in packets] == [packet.pts for packet in packets]
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [0, 3]
    assert {packet.duration for packet in packets} == {3000}


def test_a_decoder_shows_every_frame_at_its_size_and_in_order():
    with av.open(io.BytesIO(packed(regular_times(12)))) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height) == (320, 180)
        assert stream.time_base.denominator == 90_000
        shown = [frame.to_ndarray(format="gray") for frame in file.decode(stream)]
    assert len(shown) == 12
    for number, pixels in enumerate(shown):
        # FFmpeg's gray is the limited-range luma, stretched to the full range.
        assert abs(pixels[:, 20:120].mean() - brightness(number)) < 6


def test_the_track_has_the_size_in_the_parameter_sets():
    data = packed(regular_times(1))
    with av.open(io.BytesIO(data)) as file:
        decoded = next(file.decode(video=0))
    tkhd = find(data, "moov", "trak", "tkhd")
    assert struct.unpack(">2I", tkhd[-8:]) == (decoded.width << 16, decoded.height << 16)


def test_a_viewer_can_join_at_any_keyframe():
    data = packed(regular_times(10), keyframes=(6,))
    whole = list(boxes(data))
    assert [kind for kind, _ in whole] == ["ftyp", "moov"] + ["moof", "mdat"] * 10
    late = b"".join(
        struct.pack(">I4s", 8 + len(body), kind.encode()) + body
        for kind, body in whole[:2] + whole[2 + 2 * 6 :]
    )
    with av.open(io.BytesIO(late)) as file:
        assert len(list(file.decode(video=0))) == 4


def test_a_fragment_locates_its_sample_and_flags_a_sync_sample():
    for sync, flags in [(True, 0x02000000), (False, 0x01010000)]:
        data = fragment(b"sample", sequence=7, decode_time=2**33, duration=6000, sync=sync)
        moof = find(data, "moof")
        assert struct.unpack(">II", find(moof, "mfhd")) == (0, 7)
        assert struct.unpack(">IQ", find(moof, "traf", "tfdt")) == (1 << 24, 2**33)
        run = struct.unpack(">6I", find(moof, "traf", "trun"))
        _, count, offset, duration, size, sample_flags = run
        assert (count, duration, size, sample_flags) == (1, 6000, 6, flags)
        assert data[offset : offset + size] == b"sample"


def test_the_codec_string_is_the_profile_and_level_of_the_stream():
    unit = encode_frames(regular_times(1))[0]
    parameters = fmp4.parameter_sets(unit.data)
    assert parameters is not None
    with av.open(io.BytesIO(packed(regular_times(1)))) as file:
        level = file.streams.video[0].codec_context.level
    assert parameters.codec == f"avc1.42C0{level:02X}"
    assert parameters.mime == f'video/mp4; codecs="{parameters.codec}"'


def test_samples_contain_neither_parameter_sets_nor_delimiters():
    data = b"".join(
        b"\0\0\0\1" + part
        for part in [
            b"\x09\xf0",
            b"\x67\x42\xc0\x1e",
            b"\x68\xce",
            b"\x06\x05",
            b"\x65\x88",
            b"\x0c\xff",
        ]
    )
    assert length_prefixed(data) == b"\0\0\0\2\x06\x05\0\0\0\2\x65\x88"
    assert fmp4.parameter_sets(data) == ParameterSets(b"\x67\x42\xc0\x1e", b"\x68\xce")


def test_a_unit_without_both_parameter_sets_has_none():
    assert fmp4.parameter_sets(b"\0\0\1\x65\x88") is None
    assert fmp4.parameter_sets(b"\0\0\1\x67\x42\xc0\x1e\0\0\1\x65\x88") is None


def test_the_configuration_of_a_high_profile_has_its_chroma_format():
    high = ParameterSets(b"\x67\x64\x00\x1f", b"\x68\xee")
    assert init_segment(high, 64, 64).count(b"\x68\xee\xfd\xf8\xf8\0") == 1
    baseline = ParameterSets(b"\x67\x42\xc0\x1f", b"\x68\xee")
    assert b"\x68\xee\xfd" not in init_segment(baseline, 64, 64)


def test_frames_are_told_apart_by_their_brightness():
    assert len({brightness(i) for i in range(12)}) == 12
    assert np.diff([brightness(i) for i in range(12)]).min() > 6


def escaped(payload: bytes) -> bytes:
    """Return a NAL unit as an encoder writes it (ITU-T H.264, 7.4.1), without inner start codes."""
    out = bytearray(b"\x65")
    for byte in payload:
        if out[-2:] == b"\0\0" and byte <= 3:
            out.append(3)
        out.append(byte)
    return bytes(out) + b"\x80"


units = st.lists(
    st.binary(max_size=60).map(escaped)
    | st.lists(st.sampled_from([0, 1, 3, 255]), max_size=30).map(bytes).map(escaped),
    max_size=8,
)
start_codes = st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"])


@given(units, st.data())
def test_every_unit_is_found_whatever_start_codes_separate_them(parts, data):
    stream = b"".join(data.draw(start_codes) + part for part in parts)
    assert list(nal_units(stream + data.draw(st.sampled_from([b"", b"\0", b"\0\0\0"])))) == parts


def test_emulation_prevention_is_kept():
    assert list(nal_units(b"\0\0\1\x65\0\0\3\1\x80")) == [b"\x65\0\0\3\1\x80"]


def test_bytes_before_the_first_start_code_are_no_unit():
    assert list(nal_units(b"\xff\xff\0\0\1\x09\xf0")) == [b"\x09\xf0"]
    assert list(nal_units(b"no start code")) == []
    assert list(nal_units(b"\0\0\1\0\0\1")) == []


def test_the_type_is_the_low_five_bits():
    assert nal_type(b"\x67\x42") == 7
    assert nal_type(b"\x41") == 1


@given(st.binary(max_size=64), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_decode_time_can_be_replaced(sample: bytes, time: int, other: int):
    def made(decode_time: int) -> bytes:
        return fragment(sample, sequence=7, decode_time=decode_time, duration=3000, sync=True)

    assert with_decode_time(made(time), other) == made(other)
