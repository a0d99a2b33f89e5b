"""NAL units out of a byte stream."""

from hypothesis import given
from hypothesis import strategies as st

from metabonk.streaming.annexb import nal_type, nal_units


def escaped(payload: bytes) -> bytes:
    """A NAL unit as an encoder writes it (ITU-T H.264, 7.4.1): no start code can occur inside."""
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
def test_every_unit_comes_back_whatever_start_codes_separate_them(parts, data):
    stream = b"".join(data.draw(start_codes) + part for part in parts)
    assert list(nal_units(stream + data.draw(st.sampled_from([b"", b"\0", b"\0\0\0"])))) == parts


def test_emulation_prevention_is_left_in():
    assert list(nal_units(b"\0\0\1\x65\0\0\3\1\x80")) == [b"\x65\0\0\3\1\x80"]


def test_what_comes_before_the_first_start_code_is_no_unit():
    assert list(nal_units(b"\xff\xff\0\0\1\x09\xf0")) == [b"\x09\xf0"]
    assert list(nal_units(b"no start code")) == []
    assert list(nal_units(b"\0\0\1\0\0\1")) == []


def test_the_type_is_in_the_low_bits():
    assert nal_type(b"\x67\x42") == 7
    assert nal_type(b"\x41") == 1
