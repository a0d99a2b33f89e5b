"""A ring's reader: every record once and in order, or it knows how many it missed."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.ring_layout import (
    ANNOUNCEMENT_OFFSET,
    HEAD_OFFSET,
    RECORDS_OFFSET,
    Demand,
    Word,
)
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.errors import WireError
from tests.support.rings import make_ring

KEEP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
RECORDS = st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=1500)), max_size=60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.ring"


@KEEP
@given(st.lists(RECORDS, max_size=6), st.sampled_from([4096, 4104, 5000 - 5000 % 8, 1 << 14]))
def test_records_come_in_order_or_are_counted_as_missed(
    file: Path, rounds: list[list[tuple[bytes, bytes]]], capacity: int
):
    with contextlib.closing(make_ring(file, capacity)) as writer:
        reader = RingReader(file)
        sent = list[tuple[bytes, bytes]]()
        seen = 0
        for records in rounds:
            for record in records:
                writer.append(*record)
                sent.append(record)
            for entry in reader.read():
                assert (entry.payload, entry.pixels) == sent[entry.number]
                assert entry.number == seen + reader.missed
                seen += 1
        assert reader.read() == []
        writer.append(b"end")
        seen += len(reader.read())
        assert seen + reader.missed == len(sent) + 1
        reader.close()


def test_records_that_fit_are_not_missed(file: Path):
    with contextlib.closing(make_ring(file)) as writer:
        reader = RingReader(file)
        for number in range(1000):
            writer.append(b"%d" % number)
            (entry,) = reader.read()
            assert entry.payload == b"%d" % number
        assert reader.missed == 0
        reader.close()


def test_a_later_reader_begins_with_what_is_left(file: Path):
    with contextlib.closing(make_ring(file)) as writer:
        writer.append(b"first")
        reader = RingReader(file)
        assert [entry.payload for entry in reader.read()] == [b"first"]
        reader.close()
        for _ in range(100):
            writer.append(b"x" * 100)
        reader = RingReader(file)
        assert reader.read() == []
        writer.append(b"next")
        assert [entry.payload for entry in reader.read()] == [b"next"]
        assert reader.missed == 0, "it did not read any before"
        reader.close()


def test_a_reader_can_not_change_a_ring(file: Path):
    with contextlib.closing(make_ring(file)):
        reader = RingReader(file)
        assert Announcement.from_json(reader.announcement).pid == os.getpid()
        flags = fcntl.fcntl(reader._descriptor, fcntl.F_GETFL)
        assert flags & os.O_ACCMODE == os.O_RDONLY
        reader.close()


@KEEP
@given(st.data())
def test_no_damage_ends_a_reader(file: Path, data: st.DataObject):
    with contextlib.closing(make_ring(file)) as writer:
        reader = RingReader(file)
        for number in range(data.draw(st.integers(0, 40))):
            writer.append(b"%d" % number * 30, b"pixels")
        with file.open("r+b") as raw:
            for _ in range(data.draw(st.integers(1, 4))):
                offset = st.integers(HEAD_OFFSET, HEAD_OFFSET + 64)
                records = st.integers(RECORDS_OFFSET, RECORDS_OFFSET + 4090)
                raw.seek(data.draw(st.one_of(offset, records)))
                raw.write(data.draw(st.binary(min_size=1, max_size=8)))
        for _ in range(2):
            with contextlib.suppress(WireError):
                reader.read()
            with contextlib.suppress(WireError):
                RingReader(file).close()
            with contextlib.suppress(WireError):
                set_demand(file, Demand.RECORDS, 1)
            with contextlib.suppress(ValueError):
                writer.append(b"after")
        reader.close()


@pytest.mark.parametrize("size", [0, 100, HEAD_OFFSET + 8, RECORDS_OFFSET + 100])
def test_a_ring_that_was_shortened_is_an_error(file: Path, size: int):
    with contextlib.closing(make_ring(file)) as writer:
        reader = RingReader(file)
        writer.append(b"x" * 1000)
        content = file.read_bytes()
        copy = file.with_name("copy.ring")
        copy.write_bytes(content)
        late = RingReader(copy)
        os.truncate(copy, size)
        with pytest.raises(WireError):
            late.read()
        with pytest.raises(WireError):
            RingReader(copy)
        late.close()
        reader.close()


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (Word.MAGIC, 1, "no ring of MetaBonk"),
        (Word.FORMAT, 2, "another version of MetaBonk .*format 2, here 1"),
        (Word.CAPACITY, 1 << 62, "claims a capacity"),
        (Word.CAPACITY, 8192, "not the 73728 that it claims"),
        (Word.ANNOUNCEMENT, 1 << 40, "claims an announcement"),
        (Word.COMMITTED, 3, "claims to end at 3"),
    ],
)
def test_a_head_that_can_not_be_is_named(file: Path, word: Word, value: int, message: str):
    with contextlib.closing(make_ring(file)):
        with file.open("r+b") as raw:
            raw.seek(HEAD_OFFSET + 8 * word)
            raw.write(value.to_bytes(8, "little"))
        with pytest.raises(WireError, match=message):
            RingReader(file)


def test_a_ring_that_goes_backwards_is_an_error(file: Path):
    with contextlib.closing(make_ring(file)) as writer:
        writer.append(b"x")
        reader = RingReader(file)
        reader.read()
        with file.open("r+b") as raw:
            raw.seek(HEAD_OFFSET + 8 * Word.COMMITTED)
            raw.write(bytes(8))
        with pytest.raises(WireError, match="backwards"):
            reader.read()
        reader.close()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "text"])
def test_only_files_of_rings_are_opened(tmp_path: Path, kind: str):
    file = tmp_path / "odd.ring"
    match kind:
        case "link":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "text":
            file.write_text("x" * 100_000)
    with pytest.raises((OSError, WireError)):
        RingReader(file)
    with pytest.raises((OSError, WireError)):
        set_demand(file, Demand.FRAMES, 1)


def test_a_torn_announcement_is_an_error(file: Path):
    with contextlib.closing(make_ring(file)):
        with file.open("r+b") as raw:
            raw.seek(ANNOUNCEMENT_OFFSET + 5)
            raw.write(b"}}}")
        reader = RingReader(file)
        with pytest.raises(WireError, match="announcement is damaged"):
            Announcement.from_json(reader.announcement)
        reader.close()


def test_a_ring_that_was_replaced_by_a_larger_one_is_followed(file: Path):
    with contextlib.closing(make_ring(file)) as writer:
        reader = RingReader(file)
        assert reader.successor() is None
        writer.append(b"last")
        writer.close()
        assert reader.successor() is None, "not yet"
        with contextlib.closing(make_ring(file, 1 << 14)) as larger:
            larger.append(b"first")
            assert [each.payload for each in reader.read()] == [b"last"]
            successor = reader.successor()
            assert successor is not None and successor.capacity == 1 << 14
            assert [each.payload for each in successor.read()] == [b"first"]
            assert successor.successor() is None
            successor.close()
        reader.close()


def test_a_ring_without_a_name_is_read_by_its_descriptor():
    with contextlib.closing(RingWriter.unnamed(4096)) as writer:
        reader = RingReader(os.dup(writer.descriptor))
        began = time.monotonic()
        writer.append(b"one", b"pixels")
        (entry,) = reader.read()
        assert (entry.payload, entry.pixels) == (b"one", b"pixels")
        assert began <= entry.written_at <= time.monotonic()
        assert reader.successor() is None
        reader.close()


def test_what_is_skipped_is_neither_read_nor_missed(file: Path):
    with contextlib.closing(make_ring(file)) as writer:
        reader = RingReader(file)
        writer.append(b"old")
        reader.skip()
        writer.append(b"new")
        assert [each.payload for each in reader.read()] == [b"new"]
        assert reader.missed == 0
        reader.close()
