"""Records of a trainer's episodes, as bytes. Pure.

A record is a byte for its kind, and its content as a ``values.encode``d value; a step has its
numbers first. Steps whose actions are scalars of one type, of which there are the most, are one
record together. A payload of the ring is a batch of records, or a frame.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.values import NUMPY_SCALARS, NotEncodable, decode, encode
from metabonk.errors import WireError

MAX_TEXT = 2000
"""Characters of a thought or note; more are cut off."""

MAX_SIDE = 1 << 14
"""Pixels of a frame in one direction."""

_STEP = struct.Struct("<cdB")
_FRAME = struct.Struct("<cHHdf")
FRAME_SIZE = _FRAME.size
"""Bytes of a frame's record, beside its pixels."""

_COUNT = struct.Struct("<I")
_TERMINATED, _TRUNCATED = 1, 2

_DTYPES: dict[type, "np.dtype[Any]"] = {
    bool: np.dtype(bool),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
    **{kind: np.dtype(kind) for kind in NUMPY_SCALARS},
}
"""Types of actions that are encoded together, as arrays of these."""

SCALARS = frozenset(_DTYPES)
"""Types of actions that can't change, and so can be encoded later."""


@dataclass(frozen=True)
class EpisodeStart:
    """An environment was reset.

    Attributes:
        number: of the episode, from 0; those that nobody watched count.
        seed: argument of ``reset``.
        options: argument of ``reset``.
        carried: state before it, see ``carried.capture``.
        no_repeat: why the episode can't be repeated; empty if it can.
    """

    number: int
    seed: int | None
    options: Any
    carried: dict[str, Any] = field(default_factory=dict)
    no_repeat: str = ""


@dataclass(frozen=True)
class Step:
    """An environment, or anything else with rewards, took a step."""

    action: Any
    reward: float
    terminated: bool = False
    truncated: bool = False

    @property
    def is_last(self) -> bool:
        """True if the episode ends with it."""
        return self.terminated or self.truncated


@dataclass(frozen=True)
class Thought:
    """Thought of a policy before the step that follows in the ring.

    Attributes:
        probabilities: of the actions, float32; None: not said.
        value: return that is expected.
        text: anything.
    """

    probabilities: NDArray[np.float32] | None = None
    value: float | None = None
    text: str | None = None


@dataclass(frozen=True)
class FrameRecord:
    """A frame that was drawn in the trainer, after the step or start before it in the ring.

    Attributes:
        pixels: ``H×W×3`` uint8 RGB.
        captured_at: seconds on ``time.monotonic()``.
        drawing_s: that drawing it took.
    """

    pixels: NDArray[np.uint8]
    captured_at: float
    drawing_s: float


@dataclass(frozen=True)
class Progress:
    """State of an episode after the records before it, for those who missed some of them.

    Attributes:
        number: of the episode.
        steps: of it so far.
        total_reward: of it so far.
    """

    number: int
    steps: int
    total_reward: float


@dataclass(frozen=True)
class Note:
    """A sentence for the page, for instance why nothing is drawn."""

    text: str


Record: TypeAlias = EpisodeStart | Step | Thought | FrameRecord | Progress | Note

TakenStep: TypeAlias = tuple[Any, float, bool, bool]
"""Fields of a ``Step`` whose action has a type of ``SCALARS``; quicker to make than one."""

Pending: TypeAlias = bytes | EpisodeStart | TakenStep
"""A record that is encoded already, or together with others."""


def encode_step(action: bytes, reward: float, terminated: bool, truncated: bool) -> bytes:
    """Encode a step whose action was encoded before it, since steps may change arrays."""
    flags = _TERMINATED * terminated + _TRUNCATED * truncated
    return _STEP.pack(b"S", reward, flags) + action


def encode_steps(steps: Sequence[TakenStep]) -> list[bytes]:
    """Encode steps whose actions have one type."""
    actions, rewards, terminated, truncated = zip(*steps, strict=True)
    kind = type(actions[0])
    try:
        together = np.array(actions, _DTYPES[kind])
    except OverflowError:  # An int of more than 64 bits.
        return [encode_step(encode(step[0]), *step[1:]) for step in steps]
    flags = (
        np.array(terminated, np.uint8) * _TERMINATED + np.array(truncated, np.uint8) * _TRUNCATED
    )
    return [b"R" + encode((kind in NUMPY_SCALARS, together, np.array(rewards), flags))]


def encode_start(start: EpisodeStart) -> bytes:
    """Encode the start of an episode; of one that can't be sent, why it can't be repeated."""
    content = start.number, start.seed, start.options, start.carried, start.no_repeat
    try:
        return b"E" + encode(content)
    except NotEncodable as error:
        return b"E" + encode((start.number, start.seed, None, {}, f"its reset has {error}"))


def encode_thought(thought: Thought) -> bytes:
    """Encode a thought."""
    text = None if thought.text is None else thought.text[:MAX_TEXT]
    return b"T" + encode((thought.probabilities, thought.value, text))


def encode_progress(progress: Progress) -> bytes:
    """Encode the state of an episode."""
    return b"P" + encode((progress.number, progress.steps, progress.total_reward))


def encode_note(note: Note) -> bytes:
    """Encode a note."""
    return b"N" + encode(note.text[:MAX_TEXT])


def encode_frame(shape: tuple[int, ...], captured_at: float, drawing_s: float) -> bytes:
    """Encode a frame without its pixels, which stand beside the payload in the ring."""
    return _FRAME.pack(b"F", shape[0], shape[1], captured_at, drawing_s)


def encode_batch(pending: Sequence[Pending]) -> bytes:
    """Encode records as a payload."""
    records, steps = list[bytes](), list[TakenStep]()
    for each in pending:
        if steps and not (isinstance(each, tuple) and type(each[0]) is type(steps[0][0])):
            records += encode_steps(steps)
            steps = []
        if isinstance(each, tuple):
            steps.append(each)
        else:
            records.append(each if isinstance(each, bytes) else encode_start(each))
    if steps:
        records += encode_steps(steps)
    count = len(records)
    return b"B" + struct.pack(f"<{count + 1}I", count, *map(len, records)) + b"".join(records)


def decode_payload(payload: bytes, pixels: bytes) -> list[Record]:
    """Decode a payload from an untrusted source.

    Raises:
        WireError: it is damaged, or of a later version.
    """
    if payload[:1] != b"B":
        return [decode_record(payload, pixels)]
    (count,) = _COUNT.unpack(payload[1:5].ljust(4, b"\0"))
    at = 5 + 4 * count
    if at > len(payload):
        raise WireError("a batch of the ring is damaged")
    records = list[Record]()
    for size in struct.unpack_from(f"<{count}I", payload, 5):
        record = payload[at : at + size]
        records += _decode_steps(record) if record[:1] == b"R" else [decode_record(record, b"")]
        at += size
    if at != len(payload):
        raise WireError("a batch of the ring is damaged")
    return records


def decode_record(payload: bytes, pixels: bytes) -> Record:
    """Decode a record from an untrusted source.

    Raises:
        WireError: it is damaged, or of a later version.
    """
    kind = payload[:1]
    if kind == b"S":
        return _decode_step(payload)
    if kind == b"F":
        return _decode_frame(payload, pixels)
    if kind not in (b"E", b"T", b"P", b"N"):
        raise WireError(f"a record of the ring begins with {kind!r}")
    content = decode(payload[1:])
    match kind, content:
        case b"E", (int(), int() | None, _, dict(), str()):
            return EpisodeStart(*content)
        case b"T", (np.ndarray() | None as probabilities, float() | None, str() | None):
            if probabilities is None or _is_vector(probabilities):
                return Thought(*content)
        case b"P", (int(), int(), float()):
            return Progress(*content)
        case b"N", str():
            return Note(content)
    raise WireError(f"a record {kind!r} of the ring is damaged")


def _is_vector(probabilities: NDArray[Any]) -> bool:
    return probabilities.dtype == np.float32 and probabilities.ndim == 1


def _decode_step(payload: bytes) -> Step:
    if len(payload) < _STEP.size:
        raise WireError("a step of the ring is damaged")
    _, reward, flags = _STEP.unpack_from(payload)
    action = decode(payload[_STEP.size :])
    return Step(action, reward, bool(flags & _TERMINATED), bool(flags & _TRUNCATED))


def _decode_steps(payload: bytes) -> list[Step]:
    match decode(payload[1:]):
        case (
            bool(is_numpy),
            np.ndarray() as actions,
            np.ndarray() as rewards,
            np.ndarray() as flags,
        ):
            is_whole = actions.shape == rewards.shape == flags.shape and actions.ndim == 1
            if is_whole and rewards.dtype == np.float64 and flags.dtype == np.uint8:
                return [
                    Step(action, reward, bool(flag & _TERMINATED), bool(flag & _TRUNCATED))
                    for action, reward, flag in zip(
                        actions if is_numpy else actions.tolist(),
                        rewards.tolist(),
                        flags.tolist(),
                        strict=True,
                    )
                ]
    raise WireError("steps of the ring are damaged")


def _decode_frame(payload: bytes, pixels: bytes) -> FrameRecord:
    if len(payload) != _FRAME.size:
        raise WireError("a frame of the ring is damaged")
    _, height, width, captured_at, drawing_s = _FRAME.unpack(payload)
    if not 0 < height <= MAX_SIDE or not 0 < width <= MAX_SIDE:
        raise WireError(f"a frame of the ring is {width} pixels wide and {height} high")
    if len(pixels) != 3 * width * height:
        raise WireError(f"a frame of the ring has {len(pixels)} bytes, not {3 * width * height}")
    array = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    return FrameRecord(array, captured_at, drawing_s)
