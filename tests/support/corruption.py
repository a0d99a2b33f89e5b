"""Hypothesis strategies that damage valid input."""

import json
import re
import struct
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec=None), max_size=40)
"""Any characters, including lone surrogates and NUL."""

NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -(10**400), 10**4000]),
    st.floats(),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn, value: Any) -> Any:
    """Draw JSON with something replaced, left out, added or repeated."""
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        match draw(st.sampled_from(["inside", "inside", "replace", "drop", "add"])):
            case "inside":
                return {**value, key: draw(edited(value[key]))}
            case "replace":
                return {**value, key: draw(VALUES)}
            case "drop":
                return {name: each for name, each in value.items() if name != key}
            case "add":
                return {**value, draw(TEXT): draw(VALUES)}
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        match draw(st.sampled_from(["inside", "inside", "drop", "repeat"])):
            case "inside":
                return [*value[:at], draw(edited(value[at])), *value[at + 1 :]]
            case "drop":
                return value[:at] + value[at + 1 :]
            case "repeat":
                return value * draw(st.integers(2, 300))
    return draw(NUMBERS if isinstance(value, int | float) else VALUES)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw bytes with some flipped, missing or added, long numbers, or deep brackets."""
    at = draw(st.integers(0, len(data)))
    match draw(st.sampled_from(["flip", "cut", "leave out", "insert", "digits", "brackets"])):
        case "flip":
            spoilt = bytearray(data)
            places = st.integers(0, len(data) - 1)
            for place in draw(st.lists(places, min_size=1, max_size=8)):
                spoilt[place] = draw(st.integers(0, 255))
            return bytes(spoilt)
        case "cut":
            return data[:at]
        case "leave out":
            return data[:at] + data[at + draw(st.integers(1, 64)) :]
        case "digits":
            return re.sub(rb"[0-9](?=[^0-9]*$)", b"9" * 5000, data[:at]) + data[at:]
        case "brackets":
            return data[:at] + b"[" * 5000 + data[at:]
    return data[:at] + draw(st.binary(min_size=1, max_size=64)) + data[at:]


@st.composite
def damaged_tensors(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw safetensors with wrong lengths, shapes, types or offsets in the header."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    match draw(st.sampled_from(["bytes", "length", "header", "field", "ours"])):
        case "bytes":
            return draw(damaged(data))
        case "length":
            claimed = st.integers(0, 2**64 - 1) | st.integers(0, len(data))
            return struct.pack("<Q", draw(claimed)) + data[8:]
        case "header":
            text = json.dumps(draw(edited(header)))
        case "field":
            # What safetensors passes over, Python's json may not.
            header[next(name for name in header if name != "__metadata__")]["also"] = "MARK"
            value = draw(st.sampled_from(["9" * 5000, "[" * 90 + "]" * 90, "1e999", '"\\ud800"']))
            text = json.dumps(header).replace('"MARK"', value)
        case "ours":
            ours = json.loads(header["__metadata__"]["metabonk"])
            header["__metadata__"]["metabonk"] = json.dumps(draw(edited(ours)))
            text = json.dumps(header)
    return struct.pack("<Q", len(text.encode())) + text.encode() + body


@st.composite
def damaged_lines(draw: st.DrawFn, text: str) -> str:
    """Draw text with some lines, or words in them, changed."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        word = draw(st.integers(0, len(words) - 1))
        match draw(st.sampled_from(["drop", "repeat", "move", "cut", "word", "number", "insert"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "repeat":
                lines[at:at] = [lines[at]] * draw(st.integers(1, 50))
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "word":
                words[word] = draw(TEXT)
                lines[at] = " ".join(words)
            case "number":
                words[word] = str(draw(st.integers()))
                lines[at] = " ".join(words)
            case "insert":
                lines.insert(at, draw(TEXT))
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines) + "\r\n"
