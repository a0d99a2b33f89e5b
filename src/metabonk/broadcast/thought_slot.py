"""Thoughts of a policy that lives in another process than its environment.

A ring's first page has room for one thought beside the demand. The process of the policy leaves it
there before it sends the action, and the environment takes it with the step; neither waits.
"""

import os
import time
from pathlib import Path

from metabonk.broadcast.records import Thought, encode_thought
from metabonk.broadcast.ring_layout import (
    DEMAND,
    HEAD,
    HEAD_OFFSET,
    MAX_THOUGHT,
    THOUGHT,
    THOUGHT_OFFSET,
    parse_head,
)


class ThoughtSlot:
    """Place for the next thought in the ring of an environment.

    Args:
        file: of the ring.

    Raises:
        OSError: it is gone, or can't be written to.
        WireError: it is no ring, or of another version.
    """

    def __init__(self, file: Path) -> None:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(file, flags)
        self._number = 0
        try:
            size = os.fstat(self._descriptor).st_size
            parse_head(os.pread(self._descriptor, HEAD.size, HEAD_OFFSET), size)
            before = os.pread(self._descriptor, THOUGHT.size, THOUGHT_OFFSET)
            self._number, _ = THOUGHT.unpack(before)
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    def is_wanted(self) -> bool:
        """True if somebody watches the environment."""
        level, until_ns = DEMAND.unpack(os.pread(self._descriptor, DEMAND.size, 0))
        return bool(level) and until_ns >= time.monotonic_ns()

    @property
    def is_lost(self) -> bool:
        """True if the ring was removed; its environment may have another one."""
        return os.fstat(self._descriptor).st_nlink == 0

    def put(self, thought: Thought) -> None:
        """Leave a thought for the next step; one that is too large for the slot is left out."""
        record = encode_thought(thought)
        if len(record) <= MAX_THOUGHT:
            self._number += 1
            head = THOUGHT.pack(self._number, len(record))
            os.pwrite(self._descriptor, head + record, THOUGHT_OFFSET)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
