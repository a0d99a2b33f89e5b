"""Limits of control groups, on a file system that a test makes."""

from pathlib import Path

import pytest

from metabonk.settings import schema
from metabonk.settings.schema import available_cores
from metabonk.system.cgroup import cpu_quota, free_memory


class FileSystem:
    """A root with control groups.

    Args:
        root: of the file system.
        membership: content of ``/proc/self/cgroup``.
    """

    def __init__(self, root: Path, membership: str) -> None:
        self.root = root
        self.write("proc/self/cgroup", membership)

    def write(self, file: str, text: object) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def group(self, folder: str, **files: object) -> None:
        for name, text in files.items():
            self.write(f"sys/fs/cgroup/{folder}/{name.replace('__', '.', 1)}", text)


@pytest.mark.parametrize(
    ("membership", "folder"),
    [
        ("0::/", ""),
        ("0::/user.slice/fleet.service", "user.slice/fleet.service"),
        ("0::/docker/5f2c", ""),  # The host's path, where the container sees its own group.
        ("0::/../../other", ""),
    ],
)
def test_version_2_limits_the_cpus_and_the_memory(tmp_path: Path, membership: str, folder: str):
    system = FileSystem(tmp_path, membership)
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (None, None)
    system.group(folder, cpu__max="max 100000", memory__max="max", memory__current=3000)
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (None, None)
    system.group(folder, cpu__max="250000 100000", memory__max=5000)
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (2.5, 2000)
    system.group(folder, memory__stat="anon 2500\ninactive_file 400")
    assert free_memory(tmp_path) == 2400


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("path", ["", "docker/5f2c"])
def test_version_1_limits_the_cpus_and_the_memory(tmp_path: Path, mount: str, path: str):
    system = FileSystem(tmp_path, "5:memory:/docker/5f2c\n4:cpu,cpuacct:/docker/5f2c\n0::/")
    system.group(f"{mount}/{path}", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    system.group(
        f"memory/{path}", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=3000
    )
    assert cpu_quota(tmp_path) is None
    assert (free_memory(tmp_path) or 0) > 1 << 60
    system.group(f"{mount}/{path}", cpu__cfs_quota_us=150_000)
    system.group(
        f"memory/{path}", memory__limit_in_bytes=5000, memory__stat="total_inactive_file 400"
    )
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (1.5, 2400)


def test_the_tightest_of_all_ancestors_counts(tmp_path: Path):
    system = FileSystem(tmp_path, "0::/a/b")
    system.group("a/b", cpu__max="400000 100000", memory__max=9000, memory__current=1000)
    system.group("a", cpu__max="200000 100000", memory__max=5000, memory__current=4000)
    system.group("a/c", cpu__max="100000 100000", memory__max=1, memory__current=1)
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (2.0, 1000)


def test_version_2_beside_version_1_is_read(tmp_path: Path):
    system = FileSystem(tmp_path, "1:name=systemd:/\n0::/a")
    system.group("unified/a", cpu__max="300000 100000")
    assert cpu_quota(tmp_path) == 3.0


def test_without_control_groups_there_is_no_limit(tmp_path: Path):
    assert (cpu_quota(tmp_path), free_memory(tmp_path)) == (None, None)


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(64, 2.0, 2), (64, 1.9, 1), (64, 0.5, 1), (4, 8.0, 4), (8, None, 8)],
)
def test_a_process_may_use_the_cores_that_it_may_run_on_within_its_quota(
    affinity: int, quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema, "cpu_quota", lambda: quota)
    monkeypatch.setattr(schema.os, "sched_getaffinity", lambda pid: range(affinity))
    assert available_cores() == cores
