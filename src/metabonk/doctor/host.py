"""Findings about this host: disk, shared memory, and whether it is a container."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metabonk.errors import StartError
from metabonk.settings.commands import command
from metabonk.settings.environment import user_runtime_dir
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.settings.schema import Paths
from metabonk.system import shared_memory
from metabonk.system.files import folder_bytes
from metabonk.system.private_folder import session_dir_problem

MIN_FREE_DISK = 500 << 20
"""Bytes. An hour's run writes some tens of MB; the rest lets a full disk be noticed in time."""

LARGE_RUNS = 1 << 30
"""Bytes that runs may take whatever is left of the disk."""

KEEP = 5
"""Runs that pruning is advised to keep."""

CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about this machine, and what to do about it.

    Attributes:
        message: the fact.
        action: what to do; None if nothing needs to be done.
        blocking: a fleet can't run, or can't be watched, until ``action`` is taken.
        absent: it reports something optional that isn't here.
    """

    message: str
    action: str | None = None
    blocking: bool = False
    absent: bool = False

    @property
    def mark(self) -> str:
        """Symbol for a list of findings."""
        if self.action is None:
            return "–" if self.absent else "✓"
        return "✗" if self.blocking else "·"


def free_disk(folder: Path) -> int:
    """Return the free bytes on the disk that holds ``folder``, which need not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def disk_findings(paths: Paths) -> Iterator[Finding]:
    """Report the free space on each disk that a fleet writes to."""
    consequences = {paths.logs: "logs may have gaps", paths.runs: "checkpoints may fail"}
    by_device = {_existing(folder).stat().st_dev: folder for folder in consequences}
    for folder in by_device.values():
        free = free_disk(folder)
        if free < MIN_FREE_DISK:
            message = f"only {megabytes(free)} free on the disk of {folder}; {consequences[folder]}"
            action = "free some disk space"
            if folder == paths.runs:
                action = f"{action}; {_prune()}"
            yield Finding(message, action, blocking=True)
        else:
            yield Finding(f"{megabytes(free)} free on the disk of {folder}")


def runs_finding(runs: Path) -> Finding:
    """Report what the runs take of their disk: a few hundred megabytes a day of training."""
    size, free = folder_bytes(runs), free_disk(runs)
    message = f"the runs in {runs} take {megabytes(size)}"
    if size < LARGE_RUNS or size < free:
        return Finding(message)
    return Finding(f"{message}, more than the {megabytes(free)} that are free", _prune())


def shared_memory_finding() -> Finding:
    """Report whether there is enough shared memory for Doom engines."""
    total, free = shared_memory.total_bytes(), shared_memory.free_bytes()
    message = f"{shared_memory.PATH} has {megabytes(free)} free of {megabytes(total)}"
    if total < shared_memory.MIN_TOTAL:
        return Finding(
            f"{message}: too little for game engines, which take 13 MB each",
            "in a container: docker run --shm-size=1g, or shm_size: 1g in compose.yaml",
            blocking=True,
        )
    if free < shared_memory.MIN_FREE:
        return Finding(
            f"{message}, and game engines take 13 MB each",
            f"'ls -l {shared_memory.PATH}' shows what fills it; "
            f"'{command('nvenc cleanup', '--kill')}' removes leftovers of killed games",
            blocking=True,
        )
    return Finding(f"{message}, for game engines")


def runtime_finding(paths: Paths) -> Finding:
    """Report the folder of locks, and why it is not the login session's."""
    session = user_runtime_dir()
    try:
        folder = runtime_dir(paths.runtime)
    except StartError as error:
        advice = "set METABONK_PATHS_RUNTIME to a folder of yours on a local disk"
        return Finding(str(error), advice, blocking=True)
    problem = None if session is None else session_dir_problem(session)
    if problem is None or paths.runtime is not None:
        return Finding(f"locks are in {folder}")
    return Finding(
        f"XDG_RUNTIME_DIR is {session}, but {problem}; locks are in {folder} instead",
        "unset XDG_RUNTIME_DIR, or log in as this user rather than with su or sudo, so that every "
        "command looks there",
    )


def in_container() -> bool:
    """Tell whether this looks like a container: by Docker's or Podman's markers, or by its root."""
    if any(marker.exists() for marker in CONTAINER_MARKERS):
        return True
    text = MOUNTS.read_text(encoding="utf-8", errors="replace")
    mounts = [line.split() for line in text.splitlines()]
    return any(point == "/" and "overlay" in kind for _, point, kind, *_ in mounts)


def megabytes(size: int) -> str:
    """Format a number of bytes."""
    return f"{size >> 20} MB"


def _prune() -> str:
    return f"'{command('runs prune', f'--keep {KEEP}')}' deletes old runs, but asks first"


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())
