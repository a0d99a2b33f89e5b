"""Starts of workers in a run."""

import time
from pathlib import Path

import pytest

from metabonk.runs.starts import count_start


def test_every_start_of_a_worker_has_the_next_number(tmp_path: Path):
    assert [count_start(tmp_path, 0) for _ in range(3)] == [1, 2, 3]
    assert count_start(tmp_path, 1) == 1


@pytest.mark.parametrize("content", [b"", b"rubbish\n", b"\xff"])
def test_a_damaged_count_is_continued_from_the_time(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
):
    count_start(tmp_path, 0)
    (tmp_path / "starts" / "omega-0").write_bytes(content)
    before = time.time_ns() // 1_000_000
    start = count_start(tmp_path, 0)
    assert start > before
    assert count_start(tmp_path, 0) == start + 1
    assert caplog.text.count("starts are numbered by the time") == 1


def test_where_nothing_can_be_written_starts_are_numbered_by_the_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "starts").write_bytes(b"")
    before = time.time_ns() // 1_000_000
    assert count_start(tmp_path, 0) >= before
    assert "is numbered by the time" in caplog.text
