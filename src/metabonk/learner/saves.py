"""When a checkpoint is written: by time, at the end, and whenever the policy has become better."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from metabonk.errors import CheckpointError
from metabonk.learner.appo import Learner
from metabonk.learner.checkpoint import best_return, save_best, save_checkpoint
from metabonk.learner.returns import Returns

log = logging.getLogger(__name__)

BEST_PAUSE_S = 10.0
"""At least, between two checkpoints of the best policy: while it learns, each update is better."""


class Saves:
    """Writes checkpoints of one run.

    A disk that is full must not end a run that goes on in memory.

    Args:
        learner: that is saved.
        run_dir: folder of the run.
        clock: seconds, monotonic.

    Attributes:
        returns: of the last episodes.
        error: why the last checkpoint was not written; None where it was.
    """

    def __init__(
        self, learner: Learner, run_dir: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.returns = Returns()
        self.error: str | None = None
        self._learner = learner
        self._run_dir = run_dir
        self._clock = clock
        self._saved_at = self._best_at = clock()
        self._best = best_return(run_dir)

    def save_when_due(self) -> None:
        """Writes what is due now."""
        now = self._clock()
        if now - self._saved_at >= self._learner.settings.checkpoint_s:
            self._saved_at = now
            self.save()
        mean = self.returns.mean
        if mean is None or not self.returns.complete or now - self._best_at < BEST_PAUSE_S:
            return
        if self._best is None or mean > self._best:
            self._best, self._best_at = mean, now
            self._write(lambda: save_best(self._learner, self._run_dir, mean))

    def save(self) -> None:
        """Writes a checkpoint, unless nothing has been learned yet."""
        if self._learner.counters.updates:
            self._write(lambda: save_checkpoint(self._learner, self._run_dir, self.returns.mean))

    def _write(self, save: Callable[[], Path]) -> None:
        try:
            file = save()
        except CheckpointError as error:
            self.error = str(error)
            log.error("%s. Training goes on; the next attempt is the next checkpoint", error)
        else:
            self.error = None
            log.info("wrote %s", file)
