"""Python values as bytes: actions, seeds, options and random states. Pure.

Every value comes back with its type: environments tell an ``int`` from an ``int64``. Nothing that
is decoded can run code.
"""

import functools
import math
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from metabonk.errors import WireError

MAX_DEPTH = 16
"""Containers within containers."""

_INT64 = struct.Struct("<cq")
_DOUBLE = struct.Struct("<cd")
_SIZED = struct.Struct("<cI")
_SIZE = struct.Struct("<I")

_ARRAY_KINDS = "biufc"
"""Kinds of dtypes without Python objects or text."""
NUMPY_SCALARS = frozenset(np.dtype(code).type for code in "?bhilqBHILQefdgFDG")
"""Types of numpy's scalars that can be encoded."""

_DTYPE = re.compile(rb"[<>|][biufc]\d{1,2}")


class NotEncodable(TypeError):
    """A value has a type that can't be sent."""


def encode(value: Any) -> bytes:
    """Encode a value.

    Args:
        value: None, a bool, number, string or bytes; a scalar or array of numpy with a numeric
            dtype; or a list, tuple or dict of such values.

    Raises:
        NotEncodable: it, or a part of it, is something else.
    """
    return _encode(value, MAX_DEPTH)


def decode(data: bytes) -> Any:
    """Decode a value from an untrusted source.

    Raises:
        WireError: ``encode`` did not return this.
    """
    value, end = _decode(data, 0, MAX_DEPTH)
    if end != len(data):
        raise WireError(f"a value ends {len(data) - end} bytes too early")
    return value


def _encode(value: Any, depth: int) -> bytes:
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return encoder(value)
    if depth == 0:
        raise NotEncodable(f"more than {MAX_DEPTH} containers within each other")
    if type(value) in (list, tuple):
        tag = b"l" if type(value) is list else b"t"
        return _SIZED.pack(tag, len(value)) + b"".join([_encode(each, depth - 1) for each in value])
    if type(value) in (dict, OrderedDict):
        parts = [_SIZED.pack(b"d", len(value))]
        for key, content in value.items():
            parts.append(_encode_key(key) if type(key) is str else _encode(key, depth - 1))
            parts.append(_encode(content, depth - 1))
        return b"".join(parts)
    raise NotEncodable(f"a value of {type(value).__module__}.{type(value).__qualname__}")


def _encode_int(value: int) -> bytes:
    if -(2**63) <= value < 2**63:
        return _INT64.pack(b"i", value)
    size = value.bit_length() // 8 + 1
    return _SIZED.pack(b"I", size) + value.to_bytes(size, "little", signed=True)


def _encode_scalar(kind: type[np.generic]) -> Callable[[Any], bytes]:
    header = _header(b"x", np.dtype(kind), ())
    return lambda value: header + value.tobytes()


def _encode_array(value: "np.ndarray[Any, Any]") -> bytes:
    return _header(b"a", value.dtype, value.shape) + value.tobytes()


@functools.lru_cache(maxsize=256)
def _header(tag: bytes, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> bytes:
    if dtype.kind not in _ARRAY_KINDS:
        raise NotEncodable(f"an array of {dtype}")
    name = dtype.str.encode()
    return b"%c%c%b%c%b" % (
        tag,
        len(name),
        name,
        len(shape),
        struct.pack(f"<{len(shape)}I", *shape),
    )


def _encode_sized(tag: bytes, data: bytes) -> bytes:
    return _SIZED.pack(tag, len(data)) + data


@functools.lru_cache(maxsize=256)
def _encode_key(key: str) -> bytes:
    """Encode the key of a dict; random states have the same ones every time."""
    return _encode_text(key)


def _encode_text(text: str) -> bytes:
    return _encode_sized(b"s", text.encode("utf-8", "surrogatepass"))


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"n",
    bool: lambda value: b"T" if value else b"F",
    int: _encode_int,
    float: lambda value: _DOUBLE.pack(b"f", value),
    str: _encode_text,
    bytes: lambda value: _encode_sized(b"b", value),
    np.ndarray: _encode_array,
    **{kind: _encode_scalar(kind) for kind in NUMPY_SCALARS},
}
"""Encoders of the types that contain no other values."""

_CONSTANTS = {b"n": None, b"T": True, b"F": False}


def _decode(data: bytes, start: int, depth: int) -> tuple[Any, int]:
    """Return the value that begins at ``start``, and where it ends."""
    tag, at = data[start : start + 1], start + 1
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    if tag == b"i":
        (number,) = struct.unpack("<q", _take(data, at, 8))
        return number, at + 8
    if tag == b"f":
        (number,) = struct.unpack("<d", _take(data, at, 8))
        return number, at + 8
    if tag in (b"a", b"x"):
        return _decode_array(data, at, is_scalar=tag == b"x")
    if tag not in (b"I", b"s", b"b", b"l", b"t", b"d"):
        raise WireError(f"a value begins with {tag!r}")
    (size,) = _SIZE.unpack(_take(data, at, _SIZE.size))
    at += _SIZE.size
    if tag in (b"l", b"t", b"d"):
        return _decode_container(data, at, tag, size, depth)
    content, at = _take(data, at, size), at + size
    if tag == b"I":
        return int.from_bytes(content, "little", signed=True), at
    if tag == b"b":
        return content, at
    try:
        return content.decode("utf-8", "surrogatepass"), at
    except UnicodeDecodeError as error:
        raise WireError(f"a text is damaged: {error}") from None


def _decode_container(
    data: bytes, at: int, tag: bytes, size: int, depth: int
) -> tuple[list[Any] | tuple[Any, ...] | dict[Any, Any], int]:
    if depth == 0:
        raise WireError(f"more than {MAX_DEPTH} containers within each other")
    content = list[Any]()
    for _ in range(2 * size if tag == b"d" else size):
        value, at = _decode(data, at, depth - 1)
        content.append(value)
    if tag == b"l":
        return content, at
    if tag == b"t":
        return tuple(content), at
    try:
        return dict(zip(content[::2], content[1::2], strict=True)), at
    except TypeError as error:
        raise WireError(f"a dict is damaged: {error}") from None


def _decode_array(data: bytes, at: int, *, is_scalar: bool) -> tuple[Any, int]:
    size = _take(data, at, 1)[0]
    name, at = _take(data, at + 1, size), at + 1 + size
    count = _take(data, at, 1)[0]
    shape, at = struct.unpack(f"<{count}I", _take(data, at + 1, 4 * count)), at + 1 + 4 * count
    if not _DTYPE.fullmatch(name) or (is_scalar and count):
        raise WireError(f"an array of {name!r} with {count} axes")
    try:
        dtype = np.dtype(name.decode())
        length = math.prod(shape) * dtype.itemsize
        array = np.frombuffer(_take(data, at, length), dtype).reshape(shape)
    except (TypeError, ValueError) as error:
        raise WireError(f"an array is damaged: {error}") from None
    return array[()] if is_scalar else array.copy(), at + length


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise WireError(f"a value ends {at + size - len(data)} bytes too early")
    return data[at : at + size]
