"""The checkpoints of a run as weights to act with; damaged files are skipped."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from metabonk.errors import CheckpointError, WireError
from metabonk.messages.workers import Mode
from metabonk.policy.weights import decode_weights
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    CHECKPOINTS_DIR,
    SETTINGS_FILE,
    checkpoint_files,
    find_run,
)

log = logging.getLogger(__name__)


def find_trained(runs: Path, run: str | os.PathLike[str]) -> Path:
    """Return the folder of a trained run.

    Args:
        runs: the folder of runs.
        run: folder of the run, or its name in ``runs``; see ``find_run``.

    Raises:
        StartError: there is no such run.
    """
    if (folder := Path(run)).joinpath(SETTINGS_FILE).is_file():
        return folder
    return find_run(runs, os.fspath(run), mode=Mode.PLAY)


def trained_weights(run_dir: Path, *, best: bool = False) -> bytes:
    """Return a checkpoint of a run, for ``Actor.load``.

    Args:
        run_dir: folder of the run.
        best: the one of the best mean return, not the newest.

    Raises:
        CheckpointError: the run has no readable one.
    """
    weights = best_weights(run_dir) if best else newest_weights(run_dir)
    if weights is None:
        kind = "best checkpoint" if best else "checkpoint"
        raise CheckpointError(f"{run_dir} has no readable {kind}; train it first")
    return weights


def checkpoint_of_version(run_dir: Path, version: int) -> Path | None:
    """Return the checkpoint of a run that has a policy version, without reading its weights.

    Args:
        run_dir: folder of the run.
        version: number of updates behind it.

    Returns:
        The file; None if the run keeps no such checkpoint.
    """
    for checkpoint in RunCatalog(run_dir.parent).checkpoints(run_dir.name):
        if checkpoint.policy_version == version:
            is_best = checkpoint.kind == "best"
            return (run_dir if is_best else run_dir / CHECKPOINTS_DIR) / checkpoint.name
    return None


def newest_weights(run_dir: Path) -> bytes | None:
    """Return the newest readable checkpoint of a run, for ``Actor.load``; None without one."""
    return _first_readable(checkpoint_files(run_dir))


def best_weights(run_dir: Path) -> bytes | None:
    """Return the checkpoint of a run's best mean return, for ``Actor.load``; None without one."""
    file = run_dir / BEST_CHECKPOINT
    return _first_readable([file] if file.exists() else [])


def _first_readable(files: Iterable[Path]) -> bytes | None:
    for file in files:
        try:
            data = file.read_bytes()
            decode_weights(data)
        except (OSError, WireError) as error:
            log.warning("%s: damaged checkpoint skipped: %s", file, error)
        else:
            return data
    return None
