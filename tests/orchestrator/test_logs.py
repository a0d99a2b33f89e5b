"""The end of a log."""

from pathlib import Path

from metabonk.orchestrator.logs import MOST_BYTES, tail


def test_the_last_lines(tmp_path: Path):
    file = tmp_path / "a.log"
    file.write_text("one\ntwo\nthree\n")
    assert tail(file, 2) == ["two", "three"]
    assert tail(file, 9) == ["one", "two", "three"]


def test_a_large_log_is_not_read_whole_and_no_line_is_half(tmp_path: Path):
    file = tmp_path / "a.log"
    line = "x" * 98
    file.write_text(f"{line}\n" * (MOST_BYTES // 50))
    lines = tail(file, 10**6)
    assert set(lines) == {line}
    assert len(lines) <= MOST_BYTES // 99


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path):
    (tmp_path / "a.log").write_bytes(b"caf\xff\n")
    assert tail(tmp_path / "a.log", 5) == ["caf\ufffd"]
    assert tail(tmp_path / "b.log", 5) == []
