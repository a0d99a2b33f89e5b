import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.orchestrator import lock as lock_module
from metabonk.orchestrator.lock import (
    FleetLock,
    FleetRecord,
    clear_killed,
    lock_files,
    read_record,
    remove_stale,
)
from metabonk.system.file_lock import is_locked
from metabonk.system.private_folder import private_folder
from metabonk.system.process_ids import ProcessId, boot_id, process_id

PAGE = "http://localhost:5173"


def acquired(folder: Path, port: int = 8040, page: str = PAGE) -> "closing[FleetLock]":
    return closing(FleetLock(folder, port, page=page))


def test_its_record_names_the_fleet_and_its_children(tmp_path: Path):
    with acquired(tmp_path) as lock:
        child = ProcessId(pid=7, started=8)
        lock.set_children({"omega-0": child, "omega-1": child})
        lock.set_children({"omega-0": child})
        (file,) = lock_files(tmp_path)
        record = read_record(file)
        assert record is not None
        assert record.process == process_id(os.getpid())
        assert (record.boot, record.page) == (boot_id(), PAGE)
        assert record.children == {"omega-0": child}
        assert is_locked(file)
    assert lock_files(tmp_path) == []
    assert not is_locked(file)


def test_a_hub_is_named_as_what_runs_on_its_port(tmp_path: Path):
    with (
        closing(FleetLock(tmp_path, 8040, page=PAGE, kind="watch")),
        pytest.raises(StartError, match="'metabonk watch' is already running"),
    ):
        FleetLock(tmp_path, 8040, page=PAGE)


def test_a_record_that_gets_shorter_can_be_read_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[FleetRecord | None] = []

    def truncate(descriptor: int, size: int) -> None:
        read.append(read_record(lock_files(tmp_path)[0]))

    with acquired(tmp_path) as lock:
        lock.set_children({f"omega-{number}": ProcessId(pid=7, started=8) for number in range(9)})
        monkeypatch.setattr(os, "ftruncate", truncate)
        lock.set_children({})
    assert [record and record.children for record in read] == [{}]


def test_a_second_fleet_on_the_same_port_is_told_of_the_first(tmp_path: Path):
    with acquired(tmp_path):
        with pytest.raises(StartError, match=rf"already running \(pid {os.getpid()}, page {PAGE}"):
            FleetLock(tmp_path, 8040, page="other")
        record = read_record(lock_files(tmp_path)[0])
        assert record is not None and record.page == PAGE
        with acquired(tmp_path, 9040, "other"):
            assert len(lock_files(tmp_path)) == 2
            assert len(lock_files(tmp_path, 9040)) == 1


def test_the_file_of_a_killed_fleet_is_taken_over(tmp_path: Path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from metabonk.orchestrator.lock import FleetLock\n"
        "lock = FleetLock(Path(sys.argv[1]), 8040, page='p')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (file,) = lock_files(tmp_path)
    assert not is_locked(file)
    with acquired(tmp_path):
        assert is_locked(file)


def test_a_locked_file_is_never_removed(tmp_path: Path):
    with acquired(tmp_path):
        (file,) = lock_files(tmp_path)
        remove_stale(file)
        assert is_locked(file)
        assert file.exists()
    file.write_text("rubbish")
    assert read_record(file) is None
    remove_stale(file)
    assert not file.exists()


def test_exactly_one_of_many_that_start_at_once_gets_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock_module, "TIMEOUT_S", 0.0)
    for _ in range(20):
        won: list[FleetLock] = []

        def compete(won: list[FleetLock] = won) -> None:
            try:
                won.append(FleetLock(tmp_path, 8040, page=PAGE))
            except StartError:
                return

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        won[0].close()
        won[0].close()


def test_children_do_not_inherit_the_lock(tmp_path: Path):
    lock = FleetLock(tmp_path, 8040, page=PAGE)
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    (file,) = lock_files(tmp_path)
    os.close(lock._descriptor)  # type: ignore[arg-type]
    lock._descriptor = None
    assert not is_locked(file)
    child.kill()
    child.wait()


def test_a_link_in_its_place_is_refused(tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "fleet-8040.lock").symlink_to(target)
    with pytest.raises(StartError, match="can't write the lock file"):
        FleetLock(tmp_path, 8040, page=PAGE)
    assert target.read_text() == "precious"


def test_a_missing_folder_names_the_setting(tmp_path: Path):
    with pytest.raises(StartError, match="METABONK_PATHS_RUNTIME"):
        FleetLock(tmp_path / "none", 8040, page=PAGE)


def test_a_removed_record_is_made_anew(tmp_path: Path):
    folder = tmp_path / "runtime"
    folder.mkdir()

    def locate() -> Path:
        return private_folder(folder, setting="X")

    with closing(FleetLock(folder, 8040, page=PAGE, locate=locate)) as lock:
        lock.set_children({"omega-0": ProcessId(pid=7, started=8)})
        assert lock.keep() == []
        shutil.rmtree(folder)
        assert lock.keep() == []
        (file,) = lock_files(folder)
        record = read_record(file)
        assert record is not None and record.children.keys() == {"omega-0"}
        assert is_locked(file)
        with pytest.raises(StartError, match="already running"):
            FleetLock(folder, 8040, page="other")
    assert lock_files(folder) == []


def test_a_record_that_cannot_be_made_anew_is_a_problem(tmp_path: Path):
    folder = tmp_path / "runtime"
    folder.mkdir()
    with closing(FleetLock(folder, 8040, page=PAGE)) as lock:
        shutil.rmtree(folder)
        (problem,) = lock.keep()
        assert "No such file" in problem.message
        assert "stop" in problem.action
        folder.mkdir()
        assert lock.keep() == []


# Looks like a process of a fleet, ignores SIGTERM and is stopped.
LEFT = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@contextmanager
def killed_fleet(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Write the record of a killed fleet, of which one stopped process is left."""
    child = subprocess.Popen(
        [sys.executable, "-c", LEFT, "metabonk.cli.main"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout
    child.stdout.readline()
    child.stdout.close()
    child.send_signal(signal.SIGSTOP)
    leader = process_id(child.pid)
    assert leader is not None
    record = FleetRecord(process=ProcessId(pid=1, started=0), boot=boot_id(), page=PAGE)
    record = record.model_copy(update={"children": {"omega-0": leader}})
    (folder / f"fleet-{port}.lock").write_text(record.model_dump_json())
    # As init does for a process whose parent is gone.
    reaper = threading.Thread(target=child.wait)
    reaper.start()
    try:
        yield child
    finally:
        child.kill()
        reaper.join()


def test_a_start_ends_what_a_killed_fleet_left_before_it_overwrites_the_record(tmp_path: Path):
    with killed_fleet(tmp_path, 8040) as child, acquired(tmp_path) as lock:
        assert lock.ended == [f"ended leftovers of omega-0 (pid {child.pid})"]
        assert process_id(child.pid) is None


def test_what_a_killed_fleet_left_on_another_port_is_ended_too(tmp_path: Path):
    with killed_fleet(tmp_path, 8041) as child, acquired(tmp_path):
        assert list(clear_killed(tmp_path)) == [f"ended leftovers of omega-0 (pid {child.pid})"]
        assert process_id(child.pid) is None
        assert lock_files(tmp_path, 8041) == []
        assert len(lock_files(tmp_path)) == 1, "a running fleet is left alone"


def test_a_record_stays_if_what_it_names_cannot_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock_module, "wait_until_ended", lambda processes, timeout_s: processes)
    with killed_fleet(tmp_path, 8040):
        with pytest.raises(StartError, match=r"left of omega-0, can't be ended.*stop"):
            FleetLock(tmp_path, 8040, page=PAGE)
        (file,) = lock_files(tmp_path)
        record = read_record(file)
        assert record is not None and record.children.keys() == {"omega-0"}
        assert not is_locked(file)
