"""File locks between processes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from metabonk.system import file_lock
from metabonk.system.file_lock import is_locked, lock, try_lock
from tests.support.waiting import GENEROUS_S

HOLD = """
import sys
from pathlib import Path
from metabonk.system.file_lock import try_lock
assert try_lock(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


def hold_in_another_process(file: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_exclusive_and_released_when_its_holder_is_killed(tmp_path: Path):
    file = tmp_path / "a.lock"
    with hold_in_another_process(file) as holder:
        assert try_lock(file) is None
        assert is_locked(file)
        holder.kill()
        holder.wait()
        descriptor = lock(file, GENEROUS_S)
    assert descriptor is not None
    os.close(descriptor)
    assert not is_locked(file)


def test_waiting_for_a_lock_ends_at_the_timeout(tmp_path: Path):
    file = tmp_path / "a.lock"
    descriptor = try_lock(file)
    assert descriptor is not None
    start = time.monotonic()
    assert lock(file, 0.1) is None
    assert time.monotonic() - start >= 0.1
    threading.Timer(0.1, os.close, (descriptor,)).start()
    second = lock(file, GENEROUS_S)
    assert second is not None
    os.close(second)


def test_a_missing_file_is_not_locked(tmp_path: Path):
    assert not is_locked(tmp_path / "none.lock")
    assert not (tmp_path / "none.lock").exists()


def test_a_file_removed_by_its_holder_is_recreated_and_locked(tmp_path: Path, monkeypatch):
    file = tmp_path / "a.lock"
    flock = file_lock.fcntl.flock

    def flock_and_remove(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        monkeypatch.undo()
        file.unlink()

    monkeypatch.setattr(file_lock.fcntl, "flock", flock_and_remove)
    descriptor = try_lock(file)
    assert descriptor is not None
    assert os.path.samestat(os.fstat(descriptor), file.stat())
    os.close(descriptor)
