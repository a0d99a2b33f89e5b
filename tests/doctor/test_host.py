"""Disk and shared memory, sufficient and not."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from metabonk.doctor import host

MB = 1 << 20


def with_free(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 1 << 40) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=total))


def test_disk_that_is_there_is_told_also_of_a_folder_yet_to_be_made(tmp_path: Path):
    found = host.disk(tmp_path / "not" / "yet")
    assert found.do is None
    assert found.mark == "✓"


def test_little_disk_is_to_be_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_free(monkeypatch, host.LEAST_DISK - MB)
    found = host.disk(tmp_path)
    assert found.needed and found.mark == "✗"
    assert "only 499 MB are free" in found.what
    assert found.do == "free some disk"


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
