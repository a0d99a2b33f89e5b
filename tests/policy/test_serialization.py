"""Serialization of arrays with a header."""

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from metabonk.errors import WireError
from metabonk.policy.serialization import pack, unpack


class Header(BaseModel):
    number: int


DATA = pack({"a": np.arange(6, dtype=np.int64).reshape(2, 3)}, Header(number=4))


def encode_safetensors(header: object, payload: bytes) -> bytes:
    """Return safetensors bytes with an arbitrary header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def test_arrays_of_every_kind_survive_serialization():
    arrays = {
        "flags": np.array([True, False]),
        "pixels": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "strided": np.arange(10, dtype=np.int64)[::2],
    }
    unpacked, header = unpack(pack(arrays, Header(number=4)), Header)
    assert header.number == 4
    assert unpacked.keys() == arrays.keys()
    for name, array in arrays.items():
        assert unpacked[name].dtype == array.dtype
        assert unpacked[name].shape == array.shape
        assert (unpacked[name] == array).all()


def test_unpacked_arrays_are_writable():
    unpacked, _ = unpack(DATA, Header)
    unpacked["a"][0, 0] = 9
    assert unpack(DATA, Header)[0]["a"][0, 0] == 0


def test_arrays_share_memory_that_is_writable_and_aligned():
    memory = np.frombuffer(DATA, np.uint8).copy()
    unpacked, _ = unpack(memory, Header)
    assert np.shares_memory(unpacked["a"], memory)
    shifted = np.append(np.uint8(0), memory)[1:]
    unpacked, _ = unpack(shifted, Header)
    assert unpacked["a"].flags.aligned and unpacked["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("offsets", [((0, 8), (4, 12)), ((0, 4), (8, 12)), ((4, 12),)])
def test_tensors_that_overlap_or_leave_gaps_are_rejected(offsets: tuple[tuple[int, int], ...]):
    tensors = {
        f"tensor {begin}": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
        for begin, end in offsets
    }
    with pytest.raises(WireError, match="not safetensors: a tensor begins"):
        unpack(encode_safetensors(tensors, bytes(12)), Header)


def test_a_boolean_byte_other_than_0_or_1_becomes_true():
    header = {
        "__metadata__": {"metabonk": '{"number": 1}'},
        "f": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]},
    }
    unpacked, _ = unpack(encode_safetensors(header, b"\x05\x00"), Header)
    assert unpacked["f"].view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not safetensors"),
        (b"GET / HTTP/1.1\r\n\r\n", "not safetensors"),
        (DATA[:-1], "not safetensors"),
        (DATA + b"x", "not safetensors"),
        (b"\xff" * 8 + b"{}", "not safetensors"),
        (safetensors.numpy.save({"a": np.zeros(2, np.uint8)}), "no MetaBonk header"),
        (safetensors.numpy.save({}, metadata={"metabonk": "{"}), "header"),
        (safetensors.numpy.save({}, metadata={"metabonk": '{"number": "x"}'}), "number"),
        (safetensors.numpy.save({"a": np.zeros(2, np.int16)}), "I16"),
    ],
)
def test_invalid_data_is_rejected_with_a_reason(data: bytes, reason: str):
    with pytest.raises(WireError, match=reason):
        unpack(data, Header)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_wire_errors(data: bytes):
    with pytest.raises(WireError):
        unpack(data, Header)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_raise_only_wire_errors(changes: list[tuple[int, int]]):
    data = bytearray(DATA)
    for position, value in changes:
        data[position] = value
    try:
        unpack(bytes(data), Header)
    except WireError as error:
        assert str(error)
