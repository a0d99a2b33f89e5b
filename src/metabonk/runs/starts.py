"""Number of starts of each worker in a run, over all fleets that trained or played it."""

import logging
import time
from pathlib import Path

from metabonk.messages.workers import instance_id
from metabonk.runs.layout import STARTS_DIR
from metabonk.system.files import write_atomically

log = logging.getLogger(__name__)


def count_start(run_dir: Path, worker_index: int) -> int:
    """Count a start of a worker, and return its number, from 1; no two starts have the same.

    Where it can't be kept, as on a full disk, it is the Unix time in milliseconds. To be called by
    the worker's only process.
    """
    file = run_dir / STARTS_DIR / instance_id(worker_index)
    start = _last_start(file) + 1
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, b"%d\n" % start)
    except OSError as error:
        log.warning("can't write %s: %s; the start is numbered by the time", file, error.strerror)
        return _now_ms()
    return start


def _last_start(file: Path) -> int:
    try:
        return int(file.read_bytes())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        log.warning("can't read %s: %s; starts are numbered by the time", file, error)
        return _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
