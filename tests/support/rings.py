"""Rings in a folder of a test."""

import os
from pathlib import Path

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.records import Record, decode_payload
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.system.file_lock import try_lock


def announcement(name: str = "environment") -> Announcement:
    return Announcement(name, "environment", "0.2.0", os.getpid(), fps=30.0)


def make_ring(file: Path, capacity: int = 4096) -> RingWriter:
    descriptor = try_lock(file)
    assert descriptor is not None
    return RingWriter(descriptor, file, capacity, announcement().to_json())


def records_of(reader: RingReader) -> list[Record]:
    """Return the records that were added to a ring since the last call."""
    return [
        record for each in reader.read() for record in decode_payload(each.payload, each.pixels)
    ]
