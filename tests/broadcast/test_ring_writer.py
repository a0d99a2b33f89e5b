"""A ring's writer: it waits for nobody, and leaves nothing behind."""

import errno
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from metabonk.broadcast.ring_layout import MAX_ANNOUNCEMENT, Demand, file_size
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.ring_writer import RingClosed, RingWriter
from metabonk.system.file_lock import is_locked, try_lock
from tests.support.rings import make_ring


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.ring"


def test_all_memory_of_a_ring_is_allocated(file: Path):
    writer = make_ring(file, 1 << 20)
    assert file.stat().st_blocks * 512 >= file_size(1 << 20)
    assert file.stat().st_mode & 0o777 == 0o600
    writer.close()


def test_a_closed_ring_is_removed_and_takes_nothing_more(file: Path):
    writer = make_ring(file)
    reader = RingReader(file)
    assert is_locked(file)
    writer.append(b"last")
    writer.close()
    writer.close()
    assert not file.exists() and not writer.is_open
    assert [entry.payload for entry in reader.read()] == [b"last"]
    assert reader.is_closed
    with pytest.raises(RingClosed):
        writer.append(b"later")
    reader.close()


def test_a_file_that_another_process_put_there_is_not_removed(file: Path):
    writer = make_ring(file)
    file.unlink()
    file.write_text("another")
    writer.close()
    assert file.read_text() == "another"


def test_nothing_is_wanted_until_somebody_says_so_and_only_for_as_long(file: Path):
    writer = make_ring(file)
    assert writer.demand is Demand.NOTHING
    for demand in (Demand.RECORDS, Demand.FRAMES):
        set_demand(file, demand, 60)
        assert writer.demand is demand
    set_demand(file, Demand.FRAMES, 0)
    assert writer.wanted[0]
    assert writer.demand is Demand.NOTHING
    assert not writer.wanted[0], "so that the next step is quick"
    set_demand(file, Demand.FRAMES, 60)
    writer.close()
    assert writer.demand is Demand.NOTHING


def test_a_record_that_would_fill_the_ring_is_refused(file: Path):
    writer = make_ring(file)
    writer.append(b"x" * writer.max_record)
    with pytest.raises(ValueError, match="in a ring of 4096"):
        writer.append(b"x" * (writer.max_record + 9))
    reader = RingReader(file)
    assert len(reader.read()) == 1
    reader.close()
    writer.close()


def test_an_announcement_that_is_too_long_is_refused(file: Path):
    descriptor = try_lock(file)
    assert descriptor is not None
    with pytest.raises(ValueError, match="an announcement of"):
        RingWriter(descriptor, file, 4096, b"x" * (MAX_ANNOUNCEMENT + 1))
    os.close(descriptor)


def test_without_room_there_is_no_file(file: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        make_ring(file)
    assert not file.exists()


FORK = """
import os, sys
from pathlib import Path
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import set_demand
from metabonk.broadcast.ring_writer import RingClosed
from tests.support.rings import make_ring
file = Path(sys.argv[1])
writer = make_ring(file)
set_demand(file, Demand.RECORDS, 60)
child = os.fork()
if child == 0:
    assert not writer.is_open and writer.demand is Demand.NOTHING
    writer.close()
    try:
        writer.append(b"child")
    except RingClosed:
        os.write(1, b"closed\\n")
    sys.stdin.read()
    os._exit(0)
writer.append(b"parent")
os.write(1, f"{child}\\n".encode())
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture
def forked(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a process with a ring, and a forked child."""
    with subprocess.Popen(
        [sys.executable, "-c", FORK, str(file)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        yield trainer


def test_a_forked_child_leaves_the_ring_to_its_parent(file: Path, forked: "subprocess.Popen[str]"):
    assert forked.stdout is not None
    told = {forked.stdout.readline().strip() for _ in range(2)}
    assert "closed" in told and len(told) == 2
    reader = RingReader(file)
    assert [entry.payload for entry in reader.read()] == [b"parent"]
    assert is_locked(file)
    reader.close()


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(
    file: Path, forked: "subprocess.Popen[str]"
):
    assert forked.stdout is not None
    told = {forked.stdout.readline().strip() for _ in range(2)}
    (child,) = told - {"closed"}
    assert is_locked(file)
    forked.kill()
    forked.wait()
    os.kill(int(child), 0)
    assert not is_locked(file)


def flood(
    file: str,
    records: int,
    is_open: Event,
    has_reader: Event,
    is_flooded: Event,
    is_drained: Event,
) -> None:
    writer = make_ring(Path(file), 1 << 14)
    is_open.set()
    has_reader.wait()
    for number in range(records):
        writer.append(b"%d:" % number + bytes([number % 251]) * (number % 700))
    is_flooded.set()
    is_drained.wait()
    writer.append(b"%d:" % records + bytes([records % 251]) * (records % 700))
    writer.close()


def test_a_reader_beside_a_fast_writer_misses_records_and_knows_it(file: Path):
    context, records = multiprocessing.get_context("spawn"), 200_000
    events = is_open, has_reader, is_flooded, is_drained = [context.Event() for _ in range(4)]
    trainer = context.Process(target=flood, args=(str(file), records, *events))
    trainer.start()
    is_open.wait()
    reader, seen, is_over = RingReader(file), 0, False
    has_reader.set()
    while not is_over:
        is_over = reader.is_closed
        is_quiet = is_flooded.is_set()
        entries = reader.read()
        for entry in entries:
            number, _, content = entry.payload.partition(b":")
            assert int(number) == entry.number
            assert content == bytes([entry.number % 251]) * (entry.number % 700)
        seen += len(entries)
        if is_quiet:
            is_drained.set()
    trainer.join()
    assert seen + reader.missed == records + 1
    assert seen > 0
    reader.close()
