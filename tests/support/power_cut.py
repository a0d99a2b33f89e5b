"""Processes killed at a step of writing a file, and what a power cut may leave of their files.

``python -m tests.support.power_cut FOLDER`` forks one for each file and step: in FOLDER/file/step
it writes the file twice, and is killed at that step of the second time. FOLDER/file/step-before is
the folder after the first. ``outcomes`` says what may remain of data that wasn't synced.
"""

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import torch

from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions.limits import LearnedLimits
from metabonk.learner.checkpoint import save_best, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.settings import Settings, write_settings
from metabonk.settings.learning import Learning
from tests.support.rollouts import make_rollout
from tests.support.specs import TINY


class Step(StrEnum):
    """Steps of writing a file atomically, in order."""

    WRITTEN = "written"
    SYNCED = "synced"
    RENAMED = "renamed"
    DONE = "done"


PARTIAL = ".partial"


def outcomes(
    step: Step, before: dict[Path, bytes], after: dict[Path, bytes], chance: random.Random
) -> Iterator[dict[Path, bytes]]:
    """Yield the folders that may be found after a power cut at ``step``.

    POSIX guarantees a file's bytes after fsync(2) of the file, and its name after fsync of its
    folder; everything else may have reached the disk or not, in any order.

    Args:
        step: last one.
        before: bytes by file, before the file was written a second time.
        after: as the killed process left them.
        chance: decides how much of an unsynced file remains.
    """
    new = {file: data for file, data in after.items() if before.get(file) != data}
    yield after
    match step:
        case Step.WRITTEN:
            yield before
            for file, data in new.items():
                for size in (0, chance.randrange(len(data)), len(data) - 1):
                    yield {**after, file: data[:size]}
        case Step.SYNCED:
            yield before
        case Step.RENAMED:
            # The folder still names the old file, and perhaps the partial one.
            yield before
            for file, data in new.items():
                yield {**before, file.with_name(file.name + PARTIAL): data}


def _checkpoint(folder: Path) -> Iterator[None]:
    learner = Learner(TINY, Learning(batch_size=32))
    for version in range(2):
        learner.update([make_rollout(32, version=version)])
        save_checkpoint(learner, folder)
        yield


def _best(folder: Path) -> Iterator[None]:
    learner = Learner(TINY, Learning(batch_size=32))
    for version in range(2):
        learner.update([make_rollout(32, version=version)])
        save_best(learner, folder, float(version))
        yield


def _settings(folder: Path) -> Iterator[None]:
    for workers in (1, 2):
        write_settings(Settings(workers=workers), folder / "settings.json")
        yield


def _probes(folder: Path) -> Iterator[None]:
    for rung in RUNGS[-2:]:
        ProbeCache(folder).store(rung, None, ProbeResult(works=True), quarantined=False)
        yield


def _limits(folder: Path) -> Iterator[None]:
    for limit in (3, 2):
        LearnedLimits(folder / "learned-limits.json").learn("GPU-0", "550.54", limit)
        yield


WRITERS: dict[str, Callable[[Path], Iterator[None]]] = {
    "checkpoint": _checkpoint,
    "best": _best,
    "settings": _settings,
    "probes": _probes,
    "limits": _limits,
}


def die_at(step: Step) -> None:
    """Let this process be killed at a step of the next file that it writes atomically."""
    fsync, replace = os.fsync, os.replace

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def syncing(descriptor: int) -> None:
        is_file = Path(f"/proc/self/fd/{descriptor}").is_file()
        if is_file and step is Step.WRITTEN:
            die()
        fsync(descriptor)
        if not is_file and step is Step.DONE:
            die()

    def renaming(source: Path, target: Path) -> None:
        if step is Step.SYNCED:
            die()
        replace(source, target)
        if step is Step.RENAMED:
            die()

    os.fsync, os.replace = syncing, renaming


def write_until(step: Step, writing: Iterator[None], folder: Path) -> None:
    """Write twice, and be killed at ``step`` of the second time; for a forked process."""
    next(writing)
    shutil.copytree(folder, f"{folder}-before")
    die_at(step)
    next(writing)


def main(folder: Path) -> None:
    # A forked process has only one thread.
    torch.set_num_threads(1)
    # An optimizer imports a second and a half of PyTorch: here, not in every forked process.
    Learner(TINY, Learning())
    for what, writer in WRITERS.items():
        for step in Step:
            place = folder / what / step
            place.mkdir(parents=True)
            child = os.fork()
            if child == 0:
                try:
                    write_until(step, writer(place), place)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                sys.exit(f"{what} was written without the step {step!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
