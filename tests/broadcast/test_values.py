"""Values as bytes: they come back as they were, and damage is an error."""

import contextlib
from typing import Any

import gymnasium
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from metabonk.broadcast.values import MAX_DEPTH, NotEncodable, decode, encode
from metabonk.errors import WireError

DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?"),
    arrays.complex_number_dtypes(endianness="?"),
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    DTYPES.filter(lambda dtype: dtype.isnative).flatmap(arrays.from_dtype),
)
KEYS = st.one_of(st.text(), st.integers())
VALUES = st.recursive(
    st.one_of(SCALARS, ARRAYS),
    lambda children: st.one_of(
        st.lists(children), st.lists(children).map(tuple), st.dictionaries(KEYS, children)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Tell whether two values have the same types and bits."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray | np.generic):
        is_alike = left.dtype == right.dtype and left.shape == right.shape
        return is_alike and left.tobytes() == right.tobytes()
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return repr(left) == repr(right)


def plain(action: Any) -> Any:
    """Return an action without the ordered dicts of Gymnasium 0.29."""
    if not isinstance(action, dict):
        return action
    return {name: plain(value) for name, value in action.items()}


@given(VALUES)
def test_values_come_back_with_their_types(value: Any):
    assert same(decode(encode(value)), value)


@given(VALUES, st.data())
def test_a_damaged_value_is_an_error_or_another_value(value: Any, data: st.DataObject):
    encoded = bytearray(encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        decode(bytes(encoded))


@given(st.binary())
def test_any_bytes_are_an_error_or_a_value(data: bytes):
    with contextlib.suppress(WireError):
        decode(data)


@given(VALUES, st.data())
def test_a_value_that_was_cut_is_an_error(value: Any, data: st.DataObject):
    encoded = encode(value)
    with pytest.raises(WireError):
        decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(WireError, match="1 bytes too early"):
        decode(encoded + b"n")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.MultiDiscrete([2, 5]),
        spaces.MultiBinary(4),
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1))),
        spaces.Dict(a=spaces.Discrete(2), b=spaces.Dict(c=spaces.MultiBinary(2))),
        spaces.Text(5),
        spaces.Sequence(spaces.Discrete(3)),
    ],
    ids=lambda space: type(space).__name__,
)
def test_actions_of_every_space_come_back(space: gymnasium.Space[Any]):
    for _ in range(10):
        action = space.sample()
        assert same(decode(encode(action)), plain(action))


def test_the_state_of_every_bit_generator_comes_back():
    for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"):
        state = getattr(np.random, name)(7).state
        assert same(decode(encode(state)), state)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, lambda: None, np.array([None]), np.array(["a"]), [object()], 1j]
)
def test_what_has_no_encoding_is_refused(value: Any):
    with pytest.raises(NotEncodable):
        encode(value)


def test_containers_may_be_nested_to_a_limit():
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert same(decode(encode(value)), value)
    with pytest.raises(NotEncodable, match=f"more than {MAX_DEPTH} containers"):
        encode([value])
    with pytest.raises(WireError, match=f"more than {MAX_DEPTH} containers"):
        decode(b"l\x01\x00\x00\x00" + encode(value))


def test_a_container_that_claims_more_than_there_is_takes_no_memory():
    with pytest.raises(WireError):
        decode(b"l\xff\xff\xff\xff")
    with pytest.raises(WireError):
        decode(b"a\x03<f8\x02" + b"\xff" * 8)
    with pytest.raises(WireError):
        decode(b"a\x03<f8\x03\0\0\0\0" + b"\xff" * 8)
