"""Limits of the control groups that this process runs in, as containers set them (cgroups(7)).

A group's limit holds for all groups below it, so the tightest among the ancestors counts. Both
versions are read, since a system may use one for the CPU and the other for memory. Every function
takes the root of the file system, for tests.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
MEMBERSHIP = Path("proc/self/cgroup")
MOUNT = Path("sys/fs/cgroup")


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the CPUs whose time the groups allow, such as 1.5; None: no limit."""
    quotas = [
        quota
        for group in _groups("cpu", root)
        for quota in (_quota_v2(group), _quota_v1(group))
        if quota is not None
    ]
    return min(quotas, default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """Return the memory that the groups still allow, bytes; None: no limit."""
    amounts = [
        amount
        for group in _groups("memory", root)
        for amount in (
            _free(group, "memory.max", "memory.current", "inactive_file"),
            _free(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        )
        if amount is not None
    ]
    return min(amounts, default=None)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups with a controller, each with its ancestors."""
    for line in _read(root / MEMBERSHIP).splitlines():
        # proc(5): hierarchy, controllers of version 1, and the path below where it is mounted.
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 alone, or beside version 1; of that, the controllers or a link to them.
        mounts = [controllers, controller] if controllers else ["", "unified"]
        for mount in (root / MOUNT / name for name in mounts):
            group = mount / path.lstrip("/")
            # A container may see its own group as the root, and its path on the host; one moved
            # out of its root's group sees "..".
            if ".." in group.parts:
                group = mount
            yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def _quota_v2(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _quota_v1(group: Path) -> float | None:
    quota = _read(group / "cpu.cfs_quota_us").strip()
    period = _read(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _free(group: Path, limit_file: str, used_file: str, unused_cache: str) -> int | None:
    limit, used = _read(group / limit_file).strip(), _read(group / used_file).strip()
    if not limit.isdigit() or not used.isdigit():
        return None
    counts = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    # The kernel drops unused page cache before an allocation fails.
    return max(0, int(limit) - int(used) + int(counts.get(unused_cache, 0)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
