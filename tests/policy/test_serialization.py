"""Arrays and a header as bytes."""

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


def raw(header: object, payload: bytes) -> bytes:
    """Safetensors by hand."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def test_arrays_of_every_kind_arrive_as_they_left():
    arrays = {
        "flags": np.array([True, False]),
        "pixels": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "strided": np.arange(10, dtype=np.int64)[::2],
    }
    back, header = unpack(pack(arrays, Header(number=4)), Header)
    assert header.number == 4
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert (back[name] == array).all()


def test_arrays_that_arrived_may_be_written_to():
    back, _ = unpack(DATA, Header)
    back["a"][0, 0] = 9
    assert unpack(DATA, Header)[0]["a"][0, 0] == 0


def test_a_byte_that_is_no_bool_becomes_one():
    header = {
        "__metadata__": {"metabonk": '{"number": 1}'},
        "f": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]},
    }
    back, _ = unpack(raw(header, b"\x05\x00"), Header)
    assert back["f"].view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("data", "why"),
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
def test_anything_else_is_refused_in_a_sentence(data: bytes, why: str):
    with pytest.raises(WireError, match=why):
        unpack(data, Header)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes):
    with pytest.raises(WireError):
        unpack(data, Header)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_raise_nothing_but_wire_errors(changes: list[tuple[int, int]]):
    data = bytearray(DATA)
    for position, value in changes:
        data[position] = value
    try:
        unpack(bytes(data), Header)
    except WireError as error:
        assert str(error)
