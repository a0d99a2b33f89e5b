"""Atomic writes and tails; power cuts are in tests/faults."""

import logging
import os
from pathlib import Path

import pytest

from metabonk.system.files import (
    folder_bytes,
    move_aside_corrupt,
    read_tail,
    remove_partials,
    write_atomically,
)


def test_an_atomic_write_replaces_the_file_and_leaves_no_other(tmp_path: Path):
    file = tmp_path / "file"
    for data in (b"one", b"", b"three" * 100_000):
        write_atomically(file, data)
        assert file.read_bytes() == data
    write_atomically(file, (piece for piece in (b"in ", b"", b"pieces")))
    assert file.read_bytes() == b"in pieces"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_file_unchanged(tmp_path: Path):
    file = tmp_path / "file"
    write_atomically(file, b"before")
    (tmp_path / "file.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(file, b"after")
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_interrupted_writes_are_removed_and_those_in_progress_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    left, writing = tmp_path / "killed.partial", tmp_path / "file.partial"
    left.write_bytes(b"of a killed process")
    fsync = os.fsync

    def sweep(descriptor: int) -> None:
        if writing.exists():
            remove_partials(tmp_path)
            assert (left.exists(), writing.exists()) == (False, True)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sweep)
    write_atomically(tmp_path / "file", b"whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_folder_takes_what_its_files_take(tmp_path: Path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(bytes(1000))
    (tmp_path / "file").write_bytes(bytes(10))
    (tmp_path / "below" / "loop").symlink_to(tmp_path)
    assert folder_bytes(tmp_path) == 1010
    assert folder_bytes(tmp_path / "missing") == 0


def test_a_damaged_file_is_logged_and_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "file"
    file.write_bytes(b"rubbish")
    with caplog.at_level(logging.WARNING):
        move_aside_corrupt(file, ValueError("no JSON"))
    assert str(file) in caplog.text and "no JSON" in caplog.text
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        ("file.damaged", b"rubbish")
    ]


def test_a_tail_starts_at_the_given_offset(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("new\nlast\n")
    assert read_tail(log, 100, start) == "new\nlast\n"
    assert read_tail(log, 100) == "old\nnew\nlast\n"


def test_the_tail_of_a_log_that_was_emptied_since_starts_at_its_beginning(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_text("last words\n")
    assert read_tail(log, 100, start=1000) == "last words\n"


def test_the_tail_of_a_large_log_starts_with_a_whole_line(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff" * 3_000_000 + b"\nthe end\n")
    assert read_tail(log, 1000) == "the end\n"
    log.write_text("x" * 3_000_000)
    assert read_tail(log, 1000) == "x" * 1000


def test_invalid_utf_8_is_replaced_and_a_missing_file_is_empty(tmp_path: Path):
    (tmp_path / "a.log").write_bytes(b"caf\xff\n")
    assert read_tail(tmp_path / "a.log", 5) == "caf\ufffd\n"
    assert read_tail(tmp_path / "b.log", 5) == ""
