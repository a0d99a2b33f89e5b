import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.orchestrator.lock import (
    FleetLock,
    is_held,
    lock_files,
    read_record,
    remove_unheld,
)
from metabonk.system.process_ids import ProcessId, boot_id, process_id

PAGE = "http://localhost:5173"


def test_it_says_who_holds_it_and_what_belongs_to_it(tmp_path: Path):
    with FleetLock(tmp_path, 8040) as lock:
        lock.acquire(page=PAGE)
        child = ProcessId(pid=7, started=8)
        lock.update({"omega-0": child, "omega-1": child})
        lock.update({"omega-0": child})
        (file,) = lock_files(tmp_path)
        record = read_record(file)
        assert record is not None
        assert record.process == process_id(os.getpid())
        assert (record.boot, record.page) == (boot_id(), PAGE)
        assert record.children == {"omega-0": child}
        assert is_held(file)
    assert lock_files(tmp_path) == []
    assert not is_held(file)


def test_a_second_fleet_on_the_same_port_is_told_of_the_first(tmp_path: Path):
    with FleetLock(tmp_path, 8040) as first:
        first.acquire(page=PAGE)
        with pytest.raises(StartError, match=rf"already running \(pid {os.getpid()}, page {PAGE}"):
            FleetLock(tmp_path, 8040).acquire(page="other")
        record = read_record(lock_files(tmp_path)[0])
        assert record is not None and record.page == PAGE
        with FleetLock(tmp_path, 9040) as other:
            other.acquire(page="other")
            assert len(lock_files(tmp_path)) == 2
            assert len(lock_files(tmp_path, 9040)) == 1


def test_a_killed_holder_leaves_a_file_that_the_next_one_takes_over(tmp_path: Path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from metabonk.orchestrator.lock import FleetLock\n"
        "lock = FleetLock(Path(sys.argv[1]), 8040); lock.acquire(page='p')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (file,) = lock_files(tmp_path)
    assert not is_held(file)
    with FleetLock(tmp_path, 8040) as lock:
        lock.acquire(page=PAGE)
        assert is_held(file)


def test_a_file_that_is_held_is_never_removed(tmp_path: Path):
    with FleetLock(tmp_path, 8040) as lock:
        lock.acquire(page=PAGE)
        (file,) = lock_files(tmp_path)
        remove_unheld(file)
        assert is_held(file)
        assert file.exists()
    file.write_text("rubbish")
    assert read_record(file) is None
    remove_unheld(file)
    assert not file.exists()


def test_of_many_that_start_at_once_exactly_one_gets_it_each_time(tmp_path: Path):
    for _ in range(20):
        locks = [FleetLock(tmp_path, 8040) for _ in range(4)]
        won: list[FleetLock] = []

        def compete(lock: FleetLock, won: list[FleetLock] = won) -> None:
            try:
                lock.acquire(page=PAGE)
            except StartError:
                return
            won.append(lock)

        import metabonk.orchestrator.lock as module

        patience, module.PATIENCE_S = module.PATIENCE_S, 0.0
        try:
            threads = [threading.Thread(target=compete, args=(lock,)) for lock in locks]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            module.PATIENCE_S = patience
        assert len(won) == 1
        won[0].release()
        won[0].release()


def test_children_do_not_inherit_the_lock(tmp_path: Path):
    lock = FleetLock(tmp_path, 8040)
    lock.acquire(page=PAGE)
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    (file,) = lock_files(tmp_path)
    os.close(lock._descriptor)  # type: ignore[arg-type]
    lock._descriptor = None
    assert not is_held(file)
    child.kill()
    child.wait()


def test_a_link_in_its_place_is_refused(tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "fleet-8040.lock").symlink_to(target)
    with pytest.raises(StartError, match="can't write the lock file"):
        FleetLock(tmp_path, 8040).acquire(page=PAGE)
    assert target.read_text() == "precious"


def test_a_folder_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(StartError, match="METABONK_PATHS_RUNTIME"):
        FleetLock(tmp_path / "none", 8040).acquire(page=PAGE)
