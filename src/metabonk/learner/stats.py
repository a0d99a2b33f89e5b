"""Statistics of the learner: its status object, and curves for TensorBoard."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from metabonk.learner.ppo import Counters, Update
from metabonk.messages.base import Loop
from metabonk.messages.learner import LearnerStatus
from metabonk.runs.layout import TENSORBOARD_DIR

log = logging.getLogger(__name__)

WINDOW_S = 30.0
"""Window of the step rate: several updates of about a second each."""

RETRY_S = 30.0
"""Pause before TensorBoard curves that could not be written are tried again."""


class LearnerStats:
    """Counters of updates; written by the training thread, read by any.

    Args:
        clock: monotonic seconds.

    Attributes:
        save_error: why the last checkpoint was not written.
        turns: of the training loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._recent: deque[_Recorded] = deque()
        self._counters = Counters()
        self._lag = 0.0
        self._losses: dict[str, float] = {}
        self.save_error: str | None = None
        self.turns = 0

    def restored(self, counters: Counters) -> None:
        """Take over the counters of a checkpoint."""
        with self._lock:
            self._counters = _copy(counters)

    def updated(self, update: Update, counters: Counters, took_s: float) -> None:
        """Record an update.

        Args:
            update: that was made.
            counters: after it.
            took_s: since its rollouts were there, seconds.
        """
        with self._lock:
            self._counters = _copy(counters)
            self._recent.append(_Recorded(self._clock(), update.steps, took_s))
            if update.steps:
                self._lag = update.lag
                self._losses = update.losses

    def status(self) -> LearnerStatus:
        """Return the current status object."""
        with self._lock:
            now = self._clock()
            while self._recent and self._recent[0].at <= now - WINDOW_S:
                self._recent.popleft()
            elapsed = min(WINDOW_S, now - self._started)
            steps = sum(each.steps for each in self._recent)
            busy_s = sum(each.took_s for each in self._recent)
            return LearnerStatus(
                pid=os.getpid(),
                uptime_s=round(now - self._started, 3),
                policy_version=self._counters.version,
                steps_trained=self._counters.steps_trained,
                steps_per_s=round(steps / elapsed, 2) if elapsed > 0 else 0.0,
                steps_dropped=self._counters.steps_dropped,
                updates=self._counters.updates,
                gradient_steps_skipped=self._counters.skipped,
                policy_lag=round(self._lag, 3),
                waiting=round(max(0.0, 1 - busy_s / elapsed), 3) if elapsed > 0 else 1.0,
                losses=dict(self._losses),
                save_error=self.save_error,
                turns={Loop.TRAIN: self.turns},
            )


class _Recorded(NamedTuple):
    at: float
    steps: int
    took_s: float


def _copy(counters: Counters) -> Counters:
    return Counters(**vars(counters))


class TensorBoardWriter:
    """Writer of curves over the steps trained.

    ``SummaryWriter`` is not used: it writes in a thread that dies when the disk is full, after
    which adding to it blocks for ever. Here a full disk leaves a gap in the curves, which continue
    in another file.

    Args:
        run_dir: folder of the run.
        clock: monotonic seconds.
    """

    def __init__(self, run_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = run_dir / TENSORBOARD_DIR
        self._clock = clock
        self._writer: EventsWriter | None = None
        self._files = 0
        self._retry_at = float("-inf")
        self._failed = False

    def add(self, scalars: Mapping[str, float | None], step: int) -> None:
        """Add a point to each curve.

        Args:
            scalars: values by tag; None if there is none yet.
            step: steps trained.
        """
        if self._clock() < self._retry_at:
            return
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
            if value is not None
        ]
        try:
            if self._writer is None:
                self._writer = self._open()
            self._writer.write_event(
                Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            )
            self._writer.flush()
        except OSError as error:
            self._fail(error)
            return
        if self._failed:
            log.info("TensorBoard curves are written again")
        self._failed = False

    def close(self) -> None:
        """Close the file."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as failure:
            self._fail(failure)

    def _open(self) -> EventsWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._files += 1
        # The writer names a file by the second, and would replace one of the same.
        suffix = f".{self._files}" if self._files > 1 else ""
        return EventsWriter(str(self._folder / "events"), suffix)

    def _fail(self, error: OSError) -> None:
        writer, self._writer = self._writer, None
        self._retry_at = self._clock() + RETRY_S
        with contextlib.suppress(OSError):  # The disk is still full.
            if writer is not None:
                # Its own ``close`` leaves the file open if it can't be flushed.
                writer._py_recordio_writer.close()
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                if file.stat().st_size == 0:
                    file.unlink()
        if not self._failed:
            reason = error.strerror or error
            log.warning("TensorBoard curves have a gap until there is space again: %s", reason)
        self._failed = True
