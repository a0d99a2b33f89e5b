"""When what is saved: the newest by time, the best by return."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean

from metabonk.errors import CheckpointError
from metabonk.learner.appo import Learner
from metabonk.learner.checkpoint import best_return, save_best, save_checkpoint
from metabonk.policy import EndedEpisode

log = logging.getLogger(__name__)

WINDOW = 100
"""Episodes whose mean return says how good a policy is."""

FEWEST = 20
"""Episodes that a mean needs to be compared."""

BEST_EVERY_S = 10.0
"""Between two savings of the best: a policy that learns is the best ever with every update."""


class Keeper:
    """Saves a learner.

    Args:
        learner: is saved.
        run_dir: folder of the run; what was best in it so far stays so until it is beaten.
        clock: seconds, monotonic.
    """

    def __init__(
        self, learner: Learner, run_dir: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._learner = learner
        self._run_dir = run_dir
        self._clock = clock
        self._saved_at = clock()
        self._best_at = clock() - BEST_EVERY_S
        self._best = best_return(run_dir)
        self._returns: deque[float] = deque(maxlen=WINDOW)

    @property
    def mean_return(self) -> float | None:
        """Of the last episodes, unshaped; None before the first."""
        return fmean(self._returns) if self._returns else None

    def ended(self, episodes: Iterable[EndedEpisode]) -> None:
        """Takes note of how episodes ended."""
        self._returns.extend(episode.total_reward for episode in episodes)

    def save_what_is_due(self) -> None:
        """Saves, if the last time was long enough ago, or if it never was as good."""
        if self._clock() - self._saved_at >= self._learner.settings.checkpoint_s:
            self.save()
        mean = self.mean_return
        if (
            mean is not None
            and len(self._returns) >= FEWEST
            and (self._best is None or mean > self._best)
            and self._clock() - self._best_at >= BEST_EVERY_S
        ):
            self._best_at = self._clock()
            if self._write(lambda: save_best(self._learner, self._run_dir, mean)):
                self._best = mean

    def save(self) -> None:
        """Saves what was learned, if anything was."""
        self._saved_at = self._clock()
        if self._learner.counters.updates:
            self._write(lambda: save_checkpoint(self._learner, self._run_dir))

    def _write(self, save: Callable[[], Path]) -> bool:
        """A disk that is full must not end a run that goes on in memory."""
        try:
            file = save()
        except CheckpointError as error:
            log.error("%s. Training goes on; the next attempt is the next checkpoint", error)
            return False
        log.info("wrote %s", file)
        return True
