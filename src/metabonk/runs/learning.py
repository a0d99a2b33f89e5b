"""Curves that a run's learner has recorded: its event files, read as they grow."""

import bisect
import math
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metabonk.messages.runs import LearningCurves
from metabonk.runs.event_file import Scalars, read_scalars
from metabonk.runs.layout import TENSORBOARD_DIR

MAX_READ_BYTES = 256 << 20
"""Points of one file at a time: some five days of training."""


class LearningRecord:
    """Curves of one run; a day of training takes five megabytes. Not thread-safe.

    A learner that continues from a checkpoint repeats steps: what it had recorded of them before is
    left out.

    Args:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / TENSORBOARD_DIR
        self._read: dict[Path, int] = {}
        self._steps = array("q")
        self._times = array("d")
        self._curves: dict[str, array[float]] = {}

    def update(self) -> None:
        """Read what was recorded since the last time.

        Raises:
            OSError: a file can't be read.
        """
        # Their names begin with the time at which each was begun.
        for file in sorted(self._folder.glob("*events*")):
            with file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                data = stream.read(MAX_READ_BYTES)
            try:
                events, size = read_scalars(data)
            except ValueError:  # Damaged: what came before it stays.
                events, size = [], len(data)
            self._read[file] = self._read.get(file, 0) + size
            for event in events:
                self._append(event)

    def curves(self, at_most: int) -> LearningCurves:
        """Return all curves, as means of neighbours in ``at_most`` points or fewer."""
        count = len(self._steps)
        group = max(1, -(-count // at_most))
        starts = np.arange(0, count, group)
        last = [min(start + group, count) - 1 for start in starts.tolist()]
        return LearningCurves(
            steps=[self._steps[index] for index in last],
            times=[self._times[index] for index in last],
            values={
                name: [
                    None if math.isnan(mean) else mean
                    for mean in _means(np.frombuffer(curve, np.float32), starts)
                ]
                for name, curve in sorted(self._curves.items())
            },
        )

    def _append(self, event: Scalars) -> None:
        if self._steps and event.step <= self._steps[-1]:
            first = bisect.bisect_left(self._steps, event.step)
            del self._steps[first:], self._times[first:]
            for curve in self._curves.values():
                del curve[first:]
        for name in event.values.keys() - self._curves.keys():
            self._curves[name] = array("f", [math.nan] * len(self._steps))
        for name, curve in self._curves.items():
            curve.append(event.values.get(name, math.nan))
        self._steps.append(event.step)
        self._times.append(event.time)


def _means(values: NDArray[np.float32], starts: NDArray[np.int64]) -> list[float]:
    """Return the mean of each group of values, leaving out what is missing or not finite."""
    if len(values) == 0:
        return []
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0).astype(np.float64), starts)
    counts = np.add.reduceat(known, starts, dtype=np.int64)
    means = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return [float(mean) for mean in means]
