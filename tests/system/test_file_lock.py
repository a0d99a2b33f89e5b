import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from metabonk.system import file_lock
from metabonk.system.file_lock import is_locked, lock, try_lock

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


def test_a_lock_is_held_once_and_ends_with_a_killed_holder(tmp_path: Path):
    file = tmp_path / "a.lock"
    with hold_in_another_process(file) as holder:
        assert try_lock(file) is None
        assert is_locked(file)
        holder.kill()
        holder.wait()
        descriptor = lock(file, 5.0)
    assert descriptor is not None
    os.close(descriptor)
    assert not is_locked(file)


def test_waiting_for_a_lock_ends_at_the_timeout(tmp_path: Path):
    file = tmp_path / "a.lock"
    descriptor = try_lock(file)
    assert descriptor is not None
    began = time.monotonic()
    assert lock(file, 0.1) is None
    assert 0.1 <= time.monotonic() - began < 2
    threading.Timer(0.1, os.close, (descriptor,)).start()
    again = lock(file, 5.0)
    assert again is not None
    os.close(again)


def test_a_file_that_was_never_made_is_not_locked(tmp_path: Path):
    assert not is_locked(tmp_path / "none.lock")
    assert not (tmp_path / "none.lock").exists()


def test_a_file_that_the_holder_removed_is_made_and_locked_again(tmp_path: Path, monkeypatch):
    file = tmp_path / "a.lock"
    flock = file_lock.fcntl.flock

    def removed_meanwhile(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        monkeypatch.undo()
        file.unlink()

    monkeypatch.setattr(file_lock.fcntl, "flock", removed_meanwhile)
    descriptor = try_lock(file)
    assert descriptor is not None
    assert os.path.samestat(os.fstat(descriptor), file.stat())
    os.close(descriptor)
