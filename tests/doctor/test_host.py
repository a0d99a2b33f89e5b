"""Disk and shared memory, sufficient and insufficient."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from metabonk.doctor import host
from metabonk.settings.schema import Paths

MB = 1 << 20


def with_free(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 1 << 40) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=total))


def paths(folder: Path) -> Paths:
    return Paths(logs=folder / "logs" / "not" / "yet", runs=folder)


def test_a_disk_is_reported_once_even_for_a_folder_yet_to_be_made(tmp_path: Path):
    (finding,) = host.disk_findings(paths(tmp_path))
    assert finding.action is None
    assert finding.mark == "✓"


def test_too_little_disk_space_is_blocking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_free(monkeypatch, host.MIN_FREE_DISK - MB)
    (finding,) = host.disk_findings(paths(tmp_path))
    assert finding.blocking and finding.mark == "✗"
    assert f"only 499 MB free on the disk of {tmp_path}; checkpoints may fail" in finding.message
    assert (finding.action or "").startswith("free some disk space; ")
    assert "metabonk runs prune --keep 5'" in (finding.action or "")


@pytest.mark.parametrize(
    ("size", "free", "advised"), [(900, 1, False), (2000, 3000, False), (2000, 1999, True)]
)
def test_pruning_is_advised_once_the_runs_take_more_than_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int, advised: bool
):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size * MB)
    with_free(monkeypatch, free * MB)
    finding = host.runs_finding(tmp_path)
    assert f"take {size} MB" in finding.message
    assert (finding.action is not None) == advised
    assert not advised or "metabonk runs prune --keep 5'" in finding.action
    assert not finding.blocking


def test_each_disk_is_reported(tmp_path: Path):
    folders = Path("/dev/shm"), tmp_path
    devices = {folder.stat().st_dev for folder in folders}
    assert len(list(host.disk_findings(Paths(logs=folders[0], runs=folders[1])))) == len(devices)


def test_the_shared_memory_of_this_machine_is_reported():
    assert "/dev/shm has" in host.shared_memory_finding().message


def test_a_container_with_dockers_64_mb_is_told_the_option_for_more(
    monkeypatch: pytest.MonkeyPatch,
):
    with_free(monkeypatch, 64 * MB, 64 * MB)
    finding = host.shared_memory_finding()
    assert "64 MB free of 64 MB" in finding.message
    assert "--shm-size=1g" in (finding.action or "")


def test_full_shared_memory_is_reported_with_the_command_that_clears_it(
    monkeypatch: pytest.MonkeyPatch,
):
    with_free(monkeypatch, 300 * MB, 1024 * MB)
    assert host.shared_memory_finding().action is None
    with_free(monkeypatch, 20 * MB, 1024 * MB)
    assert "cleanup_nvenc_sessions.py --kill" in (host.shared_memory_finding().action or "")


def test_a_container_is_recognised_by_its_markers_or_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marker, mounts = tmp_path / "marker", tmp_path / "mounts"
    monkeypatch.setattr(host, "CONTAINER_MARKERS", (marker,))
    monkeypatch.setattr(host, "MOUNTS", mounts)
    mounts.write_text("/dev/vda1 / ext4 rw 0 0\noverlay /var/lib/docker overlay rw 0 0\n")
    assert not host.in_container()
    mounts.write_text("overlay / overlay rw,lowerdir=/a 0 0\n")
    assert host.in_container()
    mounts.write_text("/dev/vda1 / ext4 rw 0 0\n")
    marker.touch()
    assert host.in_container()


@pytest.mark.parametrize(
    ("session", "problem"),
    [("run/user", "it is a relative path"), ("/nonexistent", "no such file or directory")],
)
def test_a_session_folder_that_cannot_be_used_is_reported_with_the_folder_used_instead(
    session: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", session)
    finding = host.runtime_finding(Paths())
    assert finding.message == (
        f"XDG_RUNTIME_DIR is {session}, but {problem}; locks are in "
        f"{tmp_path}/metabonk-{os.getuid()} instead"
    )
    assert "unset XDG_RUNTIME_DIR" in (finding.action or "") and not finding.blocking
    assert host.runtime_finding(Paths(runtime=tmp_path / "own")).action is None


def test_an_unusable_runtime_folder_is_reported_with_its_setting(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    finding = host.runtime_finding(Paths(runtime=tmp_path / "file"))
    assert finding.blocking and "METABONK_PATHS_RUNTIME" in (finding.action or "")
