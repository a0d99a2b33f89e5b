"""Rings as other processes read them, and as they say what they want."""

import contextlib
import os
import stat
import time
from pathlib import Path

from metabonk.broadcast.ring_layout import (
    ANNOUNCEMENT_OFFSET,
    DEMAND,
    HEAD,
    HEAD_OFFSET,
    RECORDS_OFFSET,
    Demand,
    Entry,
    Head,
    parse_head,
    split,
)
from metabonk.errors import WireError
from metabonk.system.file_lock import is_same_file


class RingReader:
    """Reads the records of a ring, which it can't change.

    The file is read, not mapped: whoever shortened a mapped one would end this process (SIGBUS).

    Args:
        source: file of the ring, or a descriptor of one without a name, which the reader takes
            over.

    Attributes:
        file: of the ring; None: it has no name.
        capacity: bytes of records that it holds.
        announcement: JSON, from an untrusted source.
        missed: records that were overwritten before they were read.

    Raises:
        OSError: it is gone, or can't be read.
        WireError: it is no ring, or of another version.
    """

    def __init__(self, source: Path | int) -> None:
        self.file = source if isinstance(source, Path) else None
        self.missed = 0
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = source if isinstance(source, int) else os.open(source, flags)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise WireError(f"{source} is no ring, but something else than a file")
            head = self._head()
            self.capacity = head.capacity
            self.announcement = self._pread(ANNOUNCEMENT_OFFSET, head.announcement)
            is_all_there = head.reserved <= head.capacity
            self._position = 0 if is_all_there else head.committed
            self._number: int | None = 0 if is_all_there else None
        except (OSError, WireError):
            self.close()
            raise

    @property
    def is_closed(self) -> bool:
        """True if the writer has closed it: what was not read yet are its last records.

        Raises:
            OSError, WireError: see ``read``.
        """
        return self._head().is_closed

    def read(self) -> list[Entry]:
        """Return the records that were added since the last call.

        If some were overwritten, those before the newest are skipped, and ``missed`` grows with the
        next that is read.

        Raises:
            OSError: the file can't be read.
            WireError: the file is damaged; there is no use in reading on.
        """
        end = self._head().committed
        size = end - self._position
        if size < 0:
            raise WireError("the ring goes backwards")
        entries = self._entries(size)
        if entries is None:
            self._position = self._head().committed
            return []
        for entry in entries:
            if self._number is not None:
                if entry.number < self._number:
                    raise WireError(f"record {entry.number} of the ring comes after later ones")
                self.missed += entry.number - self._number
            self._number = entry.number + 1
        self._position = end
        return entries

    def skip(self) -> None:
        """Leave out what was not read yet.

        Raises:
            OSError, WireError: see ``read``.
        """
        self._position, self._number = self._head().committed, None

    def successor(self) -> "RingReader | None":
        """Return a reader of the ring that the writer made in this one's place, as a larger one.

        None: there is none, or not yet.

        Raises:
            OSError, WireError: see ``read``.
        """
        if self.file is None or not self.is_closed or is_same_file(self._descriptor, self.file):
            return None
        with contextlib.suppress(OSError, WireError):  # It may be made just now.
            return RingReader(self.file)
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _entries(self, size: int) -> list[Entry] | None:
        """Return the records in the next bytes; None if some were overwritten."""
        for is_last_attempt in (False, True):
            data = self._copy(self._position, size) if size <= self.capacity else b""
            if self._head().reserved - self._position > self.capacity:
                return None
            try:
                return split(data)
            except WireError:
                # Some processors show the position before what was written up to there.
                if is_last_attempt:
                    raise
        raise AssertionError("not reached")

    def _head(self) -> Head:
        size = os.fstat(self._descriptor).st_size
        return parse_head(os.pread(self._descriptor, HEAD.size, HEAD_OFFSET), size)

    def _copy(self, position: int, size: int) -> bytes:
        start = position % self.capacity
        fits = min(size, self.capacity - start)
        data = self._pread(RECORDS_OFFSET + start, fits)
        return data + self._pread(RECORDS_OFFSET, size - fits) if fits < size else data

    def _pread(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise WireError("the ring was shortened")
        return data


def set_demand(file: Path, demand: Demand, seconds: float) -> None:
    """Ask the trainer for records or frames; to be repeated while they are wanted.

    Args:
        file: of the ring.
        demand: records or frames; nothing: what was wanted is over.
        seconds: after which nothing is wanted, if it is not repeated; 0: from now on.

    Raises:
        OSError: it is gone, or can't be written to.
        WireError: it is no ring.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        parse_head(os.pread(descriptor, HEAD.size, HEAD_OFFSET), size)
        until_ns = time.monotonic_ns() + int(seconds * 1e9)
        if demand is Demand.NOTHING:
            # Only the trainer sets the level to 0, or it would not notice the gap.
            os.pwrite(descriptor, bytes(DEMAND.size // 2), DEMAND.size // 2)
        else:
            os.pwrite(descriptor, DEMAND.pack(demand, until_ns), 0)
    finally:
        os.close(descriptor)
