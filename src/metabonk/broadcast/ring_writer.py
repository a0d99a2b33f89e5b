"""The only writer of a ring, in the trainer's process."""

import contextlib
import mmap
import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from metabonk.broadcast.ring_layout import (
    ANNOUNCEMENT_OFFSET,
    FORMAT,
    FRAMES,
    HEAD_OFFSET,
    MAGIC,
    MAX_ANNOUNCEMENT,
    MAX_THOUGHT,
    NOTHING,
    PREFIX,
    RECORDS,
    RECORDS_OFFSET,
    THOUGHT,
    THOUGHT_OFFSET,
    THOUGHT_WORD,
    Demand,
    Word,
    entry_size,
    file_size,
    prefix,
)
from metabonk.system.file_lock import is_same_file

Pixels: TypeAlias = bytes | memoryview

_HEAD = HEAD_OFFSET // 8
_COMMITTED = _HEAD + Word.COMMITTED
_RESERVED = _HEAD + Word.RESERVED
_NOTHING_WANTED = (0,)


class RingClosed(Exception):
    """Nothing can be written any more: the ring was closed, or belongs to the parent process."""


class RingWriter:
    """Ring that records are added to, without waiting for anybody.

    Its file is removed when it is closed or forgotten, or the process ends. A killed process leaves
    it behind, and its lock free. A copied or pickled writer is a closed one.

    Args:
        descriptor: of a new, locked, empty file, which the writer takes over.
        file: its path; None: it has none.
        capacity: bytes of records; a multiple of 8.
        announcement: JSON.

    Attributes:
        wanted: sequence whose first number is 0 while nothing is wanted; quick to look at.

    Raises:
        OSError: there is no room for it; the file is removed.
        ValueError: the announcement is too long.
    """

    def __init__(
        self, descriptor: int, file: Path | None, capacity: int, announcement: bytes
    ) -> None:
        if len(announcement) > MAX_ANNOUNCEMENT:
            raise ValueError(f"an announcement of {len(announcement)} bytes")
        self.file = file
        self.capacity = capacity
        self._position, self._number = 0, 0
        self._thought = 0
        self._memory = _Memory(descriptor, file, file_size(capacity))
        weakref.finalize(self, self._memory.remove)
        words = self._words = self._memory.words
        self._records = self._memory.records
        end = ANNOUNCEMENT_OFFSET + len(announcement)
        self._memory.bytes[ANNOUNCEMENT_OFFSET:end] = announcement
        words[_HEAD + Word.FORMAT] = FORMAT
        words[_HEAD + Word.CAPACITY] = capacity
        words[_HEAD + Word.ANNOUNCEMENT] = len(announcement)
        words[_HEAD + Word.MAGIC] = MAGIC
        self.wanted: Sequence[int] = words
        _writers.add(self)

    @classmethod
    def unnamed(cls, capacity: int) -> "RingWriter":
        """Create a ring that only those can find who are given its descriptor.

        Raises:
            OSError: there is no room for it.
        """
        descriptor = os.memfd_create("metabonk-ring", os.MFD_CLOEXEC)
        return cls(descriptor, None, capacity, b"")

    @property
    def descriptor(self) -> int:
        """Descriptor of an open ring, for passing it on."""
        return self._memory.descriptor

    @property
    def is_open(self) -> bool:
        """True if records can be added."""
        return self.wanted is not _NOTHING_WANTED

    @property
    def demand(self) -> Demand:
        """Current demand; nothing if it was not renewed in time.

        Only the writer sets ``wanted`` back to 0, here: it must notice that, since an episode with
        a gap can't be repeated.
        """
        wanted = self.wanted
        level = wanted[0]
        if not level:
            return NOTHING
        if wanted[1] < time.monotonic_ns():
            self._words[0] = 0
            return NOTHING
        return RECORDS if level == 1 else FRAMES

    @property
    def max_record(self) -> int:
        """Bytes of a payload and pixels that fit."""
        return self.capacity // 2 - PREFIX.size - 8

    def take_thought(self) -> bytes | None:
        """Return the record of the thought that another process has left since the last call."""
        number = self.wanted[THOUGHT_WORD] if self.is_open else self._thought
        if number == self._thought:
            return None
        self._thought = number
        start = THOUGHT_OFFSET + THOUGHT.size
        size = min(self._words[THOUGHT_WORD + 1], MAX_THOUGHT)
        return bytes(self._memory.bytes[start : start + size])

    def append(self, payload: bytes, pixels: Pixels = b"") -> None:
        """Add a record, over the oldest ones.

        Args:
            payload: see ``records``.
            pixels: contiguous bytes.

        Raises:
            RingClosed: nothing can be added any more.
            ValueError: it is longer than ``max_record``.
        """
        if self.wanted is _NOTHING_WANTED:
            raise RingClosed
        size = entry_size(len(payload), len(pixels))
        if size > self.capacity // 2:
            raise ValueError(f"a record of {size} bytes in a ring of {self.capacity}")
        words, start = self._words, self._position
        words[_RESERVED] = end = start + size
        self._put(start, prefix(self._number, time.monotonic(), payload, len(pixels)) + payload)
        if pixels:
            self._put(start + PREFIX.size + len(payload), pixels)
        words[_COMMITTED] = self._position = end
        self._number += 1

    def close(self) -> None:
        """Say that there is no more, and remove the file."""
        if self.is_open:
            self._words[_HEAD + Word.CLOSED] = 1
            self.wanted = _NOTHING_WANTED
            self._memory.remove()

    def abandon(self) -> None:
        """Leave the ring to the process that this one was forked from."""
        self.wanted = _NOTHING_WANTED
        self._memory.release()

    def __reduce__(self) -> tuple[type["ClosedRing"], tuple[()]]:
        return ClosedRing, ()

    def _put(self, position: int, data: Pixels) -> None:
        start = position % self.capacity
        end = start + len(data)
        if end <= self.capacity:
            self._records[start:end] = data
            return
        fits = self.capacity - start
        self._records[start:] = data[:fits]
        self._records[: len(data) - fits] = data[fits:]


class ClosedRing:
    """Stands for a ring that is not open: not yet, or no more."""

    is_open = False
    demand = NOTHING
    wanted: Sequence[int] = _NOTHING_WANTED
    max_record = 0

    file = None

    def take_thought(self) -> None:
        """Return None."""

    def append(self, payload: bytes, pixels: Pixels = b"") -> None:
        """Raise ``RingClosed``."""
        raise RingClosed

    def close(self) -> None:
        """Do nothing."""


class _Memory:
    """The mapped file of a ring; all of it is allocated."""

    def __init__(self, descriptor: int, file: Path | None, size: int) -> None:
        self._descriptor: int | None = descriptor
        self._file = file
        self._pid = os.getpid()
        try:
            # Without it, memory that is not there would end the process (SIGBUS) when written to.
            os.posix_fallocate(descriptor, 0, size)
            # Populated, so that no step waits for the kernel to map a page.
            self._map = mmap.mmap(descriptor, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except OSError:
            if file is not None:
                file.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")
        self.records = self.bytes[RECORDS_OFFSET:]

    @property
    def descriptor(self) -> int:
        assert self._descriptor is not None, "the ring is open"
        return self._descriptor

    def remove(self) -> None:
        if self._descriptor is not None:
            file = self._file
            if file and self._pid == os.getpid() and is_same_file(self._descriptor, file):
                with contextlib.suppress(OSError):
                    file.unlink()
            self.release()

    def release(self) -> None:
        if self._descriptor is not None:
            for view in (self.records, self.words, self.bytes):
                view.release()
            self._map.close()
            os.close(self._descriptor)
            self._descriptor = None


_writers: weakref.WeakSet[RingWriter] = weakref.WeakSet()


def _abandon_all() -> None:
    for writer in list(_writers):
        writer.abandon()


# Descriptors and mappings are inherited, and two processes must not write to one ring.
os.register_at_fork(after_in_child=_abandon_all)
