"""Writing files whole or not at all; what a power cut leaves is in tests/faults."""

import logging
from pathlib import Path

import pytest

from metabonk.system.files import move_aside_corrupt, write_atomically


def test_it_takes_the_place_of_what_was_there_and_leaves_nothing_else(tmp_path: Path):
    file = tmp_path / "file"
    for data in (b"one", b"", b"three" * 100_000):
        write_atomically(file, data)
        assert file.read_bytes() == data
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path):
    file = tmp_path / "file"
    write_atomically(file, b"before")
    (tmp_path / "file.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(file, b"after")
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_file_is_named_and_kept_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "file"
    file.write_bytes(b"rubbish")
    with caplog.at_level(logging.WARNING):
        move_aside_corrupt(file, ValueError("no JSON"))
    assert str(file) in caplog.text and "no JSON" in caplog.text
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        ("file.damaged", b"rubbish")
    ]
