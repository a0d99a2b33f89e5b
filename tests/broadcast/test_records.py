"""Records of a trainer as bytes."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metabonk.broadcast.records import (
    MAX_TEXT,
    EpisodeStart,
    FrameRecord,
    Note,
    Record,
    Step,
    Thought,
    decode_payload,
    decode_record,
    encode_batch,
    encode_frame,
    encode_note,
    encode_start,
    encode_step,
    encode_thought,
)
from metabonk.broadcast.values import encode
from metabonk.errors import WireError

FRAME = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
PAYLOADS = [
    (encode_step(encode(3), 1.5, True, False), b""),
    (encode_start(EpisodeStart(4, 7, {"easy": True}, {"np_random": {"state": 1}})), b""),
    (encode_thought(Thought(np.array([0.5, 0.5], np.float32), 2.0, "left")), b""),
    (encode_note(Note("drawn inline")), b""),
    (encode_frame(FRAME.shape, 1.5, 0.25), FRAME.tobytes()),
]


@given(st.floats(), st.booleans(), st.booleans(), st.integers())
def test_a_step_comes_back(reward: float, terminated: bool, truncated: bool, action: int):
    step = decode_record(encode_step(encode(action), reward, terminated, truncated), b"")
    assert isinstance(step, Step)
    assert np.array_equal(step.reward, reward, equal_nan=True)
    assert (step.action, step.terminated, step.truncated) == (action, terminated, truncated)
    assert step.is_last == (terminated or truncated)


@given(
    st.integers(0),
    st.none() | st.integers(0),
    st.none() | st.dictionaries(st.text(), st.booleans()),
    st.text(),
)
def test_a_start_comes_back(number: int, seed: int | None, options: Any, why: str):
    start = EpisodeStart(number, seed, options, {"ale": b"state"}, why)
    assert decode_record(encode_start(start), b"") == start


@given(st.none() | st.floats(allow_nan=False), st.none() | st.text(max_size=2 * MAX_TEXT))
def test_a_thought_comes_back(value: float | None, text: str | None):
    for probabilities in (None, np.array([0.25, 0.75], np.float32)):
        thought = decode_record(encode_thought(Thought(probabilities, value, text)), b"")
        assert isinstance(thought, Thought)
        assert thought.value == value
        assert thought.text == (text if text is None else text[:MAX_TEXT])
        assert np.array_equal(thought.probabilities, probabilities)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1, 3), (210, 160, 3), (64, 96, 3)])
def test_a_frame_comes_back(shape: tuple[int, ...]):
    pixels: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    frame = decode_record(encode_frame(shape, 12.5, 0.002), pixels.tobytes())
    assert isinstance(frame, FrameRecord)
    assert np.array_equal(frame.pixels, pixels)
    assert (frame.captured_at, frame.drawing_s) == (12.5, pytest.approx(0.002))


def test_a_note_comes_back_and_is_cut_to_a_page():
    assert decode_record(encode_note(Note("x" * 5000)), b"") == Note("x" * MAX_TEXT)


@given(st.lists(st.sampled_from([payload for payload, pixels in PAYLOADS if not pixels])))
def test_a_batch_comes_back(payloads: list[bytes]):
    batch = decode_payload(encode_batch(payloads), b"")
    assert len(batch) == len(payloads)
    for record, payload in zip(batch, payloads, strict=True):
        assert repr(record) == repr(decode_record(payload, b""))


@given(st.data())
def test_a_damaged_batch_is_an_error_or_another_batch(data: st.DataObject):
    damaged = bytearray(encode_batch([payload for payload, pixels in PAYLOADS if not pixels]))
    damaged[data.draw(st.integers(1, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        decode_payload(bytes(damaged), b"")
    for size in range(1, 40):
        with pytest.raises(WireError):
            decode_payload(bytes(damaged[:size]), b"")


def test_a_frame_stands_alone():
    payload, pixels = PAYLOADS[-1]
    (frame,) = decode_payload(payload, pixels)
    assert isinstance(frame, FrameRecord)


@given(st.data())
def test_a_damaged_record_is_an_error_or_another_record(data: st.DataObject):
    payload, pixels = data.draw(st.sampled_from(PAYLOADS))
    damaged = bytearray(payload)
    damaged[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(payload)))])
    with contextlib.suppress(WireError):
        record: Record = decode_record(cut, pixels)
        assert isinstance(record, EpisodeStart | Step | Thought | FrameRecord | Note)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_an_error_or_a_record(payload: bytes, pixels: bytes):
    for kind in (b"", b"S", b"E", b"T", b"F", b"N"):
        with contextlib.suppress(WireError):
            decode_record(kind + payload, pixels)


@pytest.mark.parametrize(
    ("payload", "pixels", "message"),
    [
        (b"?", b"", "begins with"),
        (b"", b"", "begins with"),
        (b"S", b"", "a step"),
        (b"N" + encode(1), b"", "damaged"),
        (b"T" + encode((np.zeros((2, 2)), None, None)), b"", "damaged"),
        (b"E" + encode((1, None)), b"", "damaged"),
        (encode_frame((2, 3, 3), 0.0, 0.0), b"x", "has 1 bytes, not 18"),
        (encode_frame((0, 3, 3), 0.0, 0.0), b"", "3 pixels wide and 0 high"),
        (encode_frame((20_000, 3, 3), 0.0, 0.0), b"", "20000 high"),
    ],
)
def test_what_is_no_record_is_named(payload: bytes, pixels: bytes, message: str):
    with pytest.raises(WireError, match=message):
        decode_record(payload, pixels)
