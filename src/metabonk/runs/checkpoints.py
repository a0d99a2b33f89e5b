"""The checkpoints of a run as weights to act with; damaged files are skipped."""

import logging
from collections.abc import Iterable
from pathlib import Path

from metabonk.errors import WireError
from metabonk.policy.weights import decode_weights
from metabonk.runs.layout import BEST_CHECKPOINT, checkpoint_files

log = logging.getLogger(__name__)


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
