"""Logs stay bounded while their writers and readers keep them open."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metabonk.system.log_files import LogRotation, previous, read_log, remove_old, rotate
from tests.support.waiting import until

ENDLESS = """
import itertools, os, sys
for number in itertools.count():
    os.write(1, b"%d %s\\n" % (number, b"x" * 90))
    if not sys.stdin.readline():
        break
"""


def test_a_log_that_is_not_full_is_left_alone(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_text("line\n")
    assert not rotate(log, 5)
    assert [each.name for each in tmp_path.iterdir()] == ["a.log"]


def test_logs_that_nobody_writes_to_any_more_are_removed(tmp_path: Path):
    for name in ("old.log", "old.log.1", "new.log", "settings.json"):
        (tmp_path / name).touch()
        if name != "new.log":
            os.utime(tmp_path / name, (0, 0))
    remove_old(tmp_path, 3600.0)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.log", "settings.json"]


def test_a_child_goes_on_in_a_log_that_was_rotated(tmp_path: Path):
    log = tmp_path / "a.log"
    with log.open("ab") as output:
        command = [sys.executable, "-c", ENDLESS]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, text=True)
    assert child.stdin is not None
    until("the child writes", lambda: log.stat().st_size)
    for _ in range(39):
        size = log.stat().st_size
        child.stdin.write("\n")
        child.stdin.flush()
        until("it writes on", lambda before=size: log.stat().st_size > before)
        rotate(log, 1000)
    child.stdin.close()
    child.wait()
    assert log.stat().st_size <= 1100
    assert previous(log).stat().st_size <= 1100
    newest = read_log(log, 1500).splitlines()
    assert [int(line.split()[0]) for line in newest] == list(range(40))[-len(newest) :]
    assert len(newest) == 15
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.log", "a.log.1"]


def test_a_reader_who_follows_a_log_goes_on(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_text("old\n" * 100)
    follow = subprocess.Popen(
        ["tail", "-n", "1", "-f", str(log)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert follow.stdout is not None
    try:
        assert follow.stdout.readline() == b"old\n", "it follows from here on"
        with log.open("a") as writer:
            writer.write("before\n")
            writer.flush()
            assert follow.stdout.readline() == b"before\n"
            assert rotate(log, 100)
            writer.write("after\n")
            writer.flush()
            assert follow.stdout.readline() == b"after\n"
    finally:
        follow.kill()
        follow.communicate()


def test_only_the_newest_part_of_a_flood_is_kept(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_bytes(b"a" * 10_000 + b"b" * 1000)
    assert rotate(log, 1000)
    assert previous(log).read_bytes() == b"b" * 1000


def test_a_log_that_cannot_be_copied_keeps_its_text(tmp_path: Path):
    log = tmp_path / "a.log"
    log.write_text("line\n" * 100)
    previous(log).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        rotate(log, 10)
    assert log.read_text() == "line\n" * 100


def test_a_fleets_logs_are_rotated_on_a_thread(tmp_path: Path):
    full, missing = tmp_path / "full.log", tmp_path / "missing.log"
    full.write_text("line\n" * 100)
    rotation = LogRotation([missing, full], 100)
    rotation.start()
    until("it is rotated", lambda: full.stat().st_size == 0)
    rotation.close()
    until("its thread ends", lambda: "log-rotation" not in {t.name for t in threading.enumerate()})
