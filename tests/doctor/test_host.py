"""Disk and shared memory, sufficient and not."""

import shutil
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


def test_a_disk_is_told_once_also_for_a_folder_yet_to_be_made(tmp_path: Path):
    (found,) = host.disks(paths(tmp_path))
    assert found.do is None
    assert found.mark == "✓"


def test_little_disk_is_to_be_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_free(monkeypatch, host.LEAST_DISK - MB)
    (found,) = host.disks(paths(tmp_path))
    assert found.needed and found.mark == "✗"
    assert f"only 499 MB are free where {tmp_path} is; checkpoints may fail" in found.what
    assert found.do == "free some disk"


def test_each_disk_is_told(tmp_path: Path):
    folders = Path("/dev/shm"), tmp_path
    devices = {folder.stat().st_dev for folder in folders}
    assert len(list(host.disks(Paths(logs=folders[0], runs=folders[1])))) == len(devices)


def test_shared_memory_of_this_machine_is_told():
    assert "/dev/shm has" in host.shared_memory().what


def test_a_container_with_dockers_64_mb_gets_the_option_that_gives_more(
    monkeypatch: pytest.MonkeyPatch,
):
    with_free(monkeypatch, 64 * MB, 64 * MB)
    found = host.shared_memory()
    assert "64 MB free of 64 MB" in found.what
    assert "--shm-size=1g" in (found.do or "")


def test_shared_memory_that_fills_up_is_told_with_what_empties_it(monkeypatch: pytest.MonkeyPatch):
    with_free(monkeypatch, 300 * MB, 1024 * MB)
    assert host.shared_memory().do is None
    with_free(monkeypatch, 20 * MB, 1024 * MB)
    assert "cleanup_nvenc_sessions.py --kill" in (host.shared_memory().do or "")


def test_a_container_is_known_by_its_marks_or_by_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marker, mounts = tmp_path / "marker", tmp_path / "mounts"
    monkeypatch.setattr(host, "MARKERS", (marker,))
    monkeypatch.setattr(host, "MOUNTS", mounts)
    mounts.write_text("/dev/vda1 / ext4 rw 0 0\noverlay /var/lib/docker overlay rw 0 0\n")
    assert not host.in_container()
    mounts.write_text("overlay / overlay rw,lowerdir=/a 0 0\n")
    assert host.in_container()
    mounts.write_text("/dev/vda1 / ext4 rw 0 0\n")
    marker.touch()
    assert host.in_container()
