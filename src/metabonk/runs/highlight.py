"""Video of the best episode of a run that was live, shared by all its workers.

Who writes it holds a lock, so that of two workers with a new best at the same time the better one's
stays. The description names the size of its video: one that a killed process wrote without the
other doesn't count.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from metabonk.messages.replays import Highlight
from metabonk.runs.layout import HIGHLIGHT_FILE, HIGHLIGHT_VIDEO
from metabonk.system.file_lock import lock
from metabonk.system.files import write_atomically

LOCK_FILE = "highlight.lock"

LOCK_TIMEOUT_S = 30.0
"""For another worker that is writing its own."""

MAX_DESCRIPTION_BYTES = 4096


def read_highlight(run_dir: Path) -> Highlight | None:
    """Return the highlight of a run; None if it has none that can be shown."""
    try:
        with (run_dir / HIGHLIGHT_FILE).open("rb") as file:
            highlight = Highlight.model_validate_json(file.read(MAX_DESCRIPTION_BYTES))
        size = (run_dir / HIGHLIGHT_VIDEO).stat().st_size
    except (OSError, ValidationError):
        return None
    return highlight if size == highlight.bytes else None


def keep_highlight(run_dir: Path, highlight: Highlight, video: Iterable[bytes]) -> Highlight:
    """Write the video of an episode, unless the run has that of a better one.

    Args:
        run_dir: folder of the run.
        highlight: of the episode.
        video: an MP4 file in pieces; not used if a better one is kept.

    Returns:
        The highlight that is kept now.

    Raises:
        OSError: it can't be written, for instance because the disk is full; the one before stays.
    """
    file = run_dir / LOCK_FILE
    descriptor = lock(file, LOCK_TIMEOUT_S)
    if descriptor is None:
        raise TimeoutError(f"another worker has held {file} for {LOCK_TIMEOUT_S:.0f} s")
    try:
        kept = read_highlight(run_dir)
        if kept is not None and kept.total_reward >= highlight.total_reward:
            return kept
        write_atomically(run_dir / HIGHLIGHT_VIDEO, video)
        write_atomically(run_dir / HIGHLIGHT_FILE, highlight.model_dump_json().encode())
        return highlight
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)
