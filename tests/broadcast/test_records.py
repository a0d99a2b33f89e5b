"""Records of a trainer as bytes."""

import contextlib
import math
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
    Progress,
    Record,
    Step,
    TakenStep,
    Thought,
    decode_payload,
    decode_record,
    encode_batch,
    encode_frame,
    encode_note,
    encode_progress,
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
    (encode_progress(Progress(4, 20, -1.5)), b""),
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


def test_the_state_of_an_episode_comes_back():
    progress = Progress(4, 20, -1.5)
    assert decode_record(encode_progress(progress), b"") == progress


ACTIONS: list[Any] = [
    *([True, False], [0, 1], [-(2**63), 2**63], [0.0, -0.0, math.nan]),
    *([np.int64(3), np.int64(4)], [np.float32(0.1), np.float32(-2)], [np.bool_(True)]),
    [np.int64(3), 3, 3.0, True, np.int32(3)],
]


@pytest.mark.parametrize("actions", ACTIONS)
def test_steps_that_are_encoded_together_come_back_with_their_types(actions: list[Any]):
    steps: list[TakenStep] = [
        (action, 0.1 * number, number == 1, number == 2) for number, action in enumerate(actions)
    ]
    decoded = decode_payload(encode_batch(steps), b"")
    assert all(isinstance(each, Step) for each in decoded)
    again = [(each.action, each.reward, each.terminated, each.truncated) for each in decoded]  # type: ignore[union-attr]
    assert repr(again) == repr(steps)


def test_steps_take_their_place_among_other_records():
    start = EpisodeStart(0, None, None, {"np_random": {"state": 2**100}})
    thought = encode_thought(Thought(text="left"))
    step = (np.int64(1), 1.0, False, False)
    encoded = encode_step(encode(np.zeros(2)), 1.0, False, False)
    pending = [start, step, step, thought, step, encoded, start]
    kinds = [type(each) for each in decode_payload(encode_batch(pending), b"")]
    assert kinds == [EpisodeStart, Step, Step, Thought, Step, Step, EpisodeStart]


def test_many_steps_are_small():
    steps: list[TakenStep] = [(np.int64(1), 1.0, False, False)] * 100
    assert len(encode_batch(steps)) < 18 * 100


@given(st.data())
def test_damaged_steps_are_an_error_or_other_steps(data: st.DataObject):
    damaged = bytearray(encode_batch([(1, 1.0, False, False), (0, 2.0, True, False)]))
    damaged[data.draw(st.integers(5, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        decode_payload(bytes(damaged), b"")


@given(
    st.integers(0),
    st.none() | st.integers(0),
    st.none() | st.dictionaries(st.text(), st.booleans()),
    st.text(),
)
def test_a_start_comes_back(number: int, seed: int | None, options: Any, why: str):
    start = EpisodeStart(number, seed, options, {"ale": b"state"}, why)
    assert decode_record(encode_start(start), b"") == start


def test_a_start_that_can_not_be_sent_says_why():
    start = decode_record(encode_start(EpisodeStart(3, 7, {"level": object()})), b"")
    assert start == EpisodeStart(3, 7, None, no_repeat="its reset has a value of builtins.object")


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
    batch = encode_batch([payload for payload, pixels in PAYLOADS if not pixels])
    damaged = bytearray(batch)
    damaged[data.draw(st.integers(1, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        decode_payload(bytes(damaged), b"")
    for size in range(1, 40):
        with pytest.raises(WireError):
            decode_payload(batch[:size], b"")


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
        assert isinstance(record, EpisodeStart | Step | Thought | FrameRecord | Progress | Note)


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
        (b"B\1\0\0\0\1\0\0\0R", b"", "a value begins"),
        (encode_batch([b"R" + encode(1)]), b"", "steps of the ring are damaged"),
        (encode_batch([b"R" + encode((True, *(np.zeros(2),) * 3))]), b"", "damaged"),
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
        decode_payload(payload, pixels)
