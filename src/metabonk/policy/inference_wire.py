"""Messages between a worker and an inference server, and the memory that they share.

A worker connects, sends ``Hello`` with its memory, and is accepted or told why not. From then on it
writes observations into the memory and sends their number; the server writes what the network made
of them, and answers with the version of the weights. Numbers are little-endian. Pure.
"""

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from metabonk.policy.spec import PolicySpec

MAX_HELLO_BYTES = 1 << 20
MAX_ANSWER_BYTES = 4096
MAX_CAPACITY = 256
"""Observations of one request."""

ACCEPTED = b"accepted"
"""Answer to a ``Hello``; any other is the reason of a refusal."""

REQUEST = struct.Struct("<I")
"""Number of observations."""

REPLY = struct.Struct("<q")
"""Version of the weights."""

_ALIGNMENT = 64


class Hello(BaseModel):
    """First message of a worker.

    Attributes:
        spec: of its policy.
        capacity: of its memory, in observations.
    """

    spec: PolicySpec
    capacity: int = Field(ge=1, le=MAX_CAPACITY)


class InferenceSlab:
    """Arrays in memory that both ends map.

    Args:
        memory: of ``size(hello)`` bytes.
        hello: says what is in it.

    Attributes:
        observations: ``[C, …]``, by the spec; written by the worker.
        memory: the recurrent states before them, ``[C, H]`` float32; written by the worker.
        parameters: of the distributions, ``[C, P]`` float32; written by the server.
        values: in reward units, ``[C]`` float32; written by the server.
        next_memory: the recurrent states after, ``[C, H]`` float32; written by the server.
    """

    def __init__(self, memory: Any, hello: Hello) -> None:
        arrays: list[NDArray[Any]] = [
            np.ndarray(shape, dtype, memory, offset) for shape, dtype, offset in _layout(hello)
        ]
        self.observations, self.memory, self.parameters, self.values, self.next_memory = arrays

    @staticmethod
    def size(hello: Hello) -> int:
        """Return the size of the memory, bytes."""
        (*_, (shape, dtype, offset)) = _layout(hello)
        return offset + math.prod(shape) * np.dtype(dtype).itemsize


def _layout(hello: Hello) -> Iterator[tuple[tuple[int, ...], type[np.generic], int]]:
    """Yield the shape, dtype and offset of each array."""
    spec, count = hello.spec, hello.capacity
    offset = 0
    for shape, dtype in (
        ((count, *spec.observation_shape), spec.observation_dtype),
        ((count, spec.memory), np.float32),
        ((count, spec.parameters), np.float32),
        ((count,), np.float32),
        ((count, spec.memory), np.float32),
    ):
        yield shape, dtype, offset
        size = math.prod(shape) * np.dtype(dtype).itemsize
        offset += -(-size // _ALIGNMENT) * _ALIGNMENT
