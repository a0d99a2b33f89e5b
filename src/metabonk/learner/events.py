"""What TensorBoard shows of a run: event files in its folder."""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from metabonk.learner.appo import Update
from metabonk.messages import LearnerStatus
from metabonk.policy import EndedEpisode

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two points of a curve; an update may take less."""

TAGS = {
    "policy": "loss/policy",
    "value": "loss/value",
    "entropy": "policy/entropy",
    "kl": "policy/kl",
    "clip_fraction": "policy/clip_fraction",
    "explained_variance": "value/explained_variance",
    "grad_norm": "optimizer/gradient_norm",
    "learning_rate": "optimizer/learning_rate",
}
"""Where a term of an update is shown."""


class Events:
    """Writes curves over the steps that were learned from.

    The file is made with the first point. It begins by saying from which step on it counts, so that
    what a learner wrote after its last checkpoint before it was killed is hidden. A file that can't
    be written costs the curves and not the run.

    Args:
        run_dir: folder of the run; ``tensorboard --logdir`` takes it, or the folder of all runs.
        clock: seconds, monotonic.
    """

    def __init__(self, run_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_dir = run_dir
        self._clock = clock
        self._written_at = clock() - EVERY_S
        self._episodes: list[EndedEpisode] = []
        self._writer: Any = None
        self._failed = False

    def ended(self, episodes: list[EndedEpisode]) -> None:
        """Takes note of how episodes ended; the next point shows their means."""
        self._episodes += episodes

    def updated(self, update: Update, status: LearnerStatus, mean_return: float | None) -> None:
        """Writes a point of each curve, if the last one was long enough ago.

        Args:
            update: the newest.
            status: of the learner, after it.
            mean_return: of the last hundred episodes, if any ended.
        """
        if self._failed or self._clock() - self._written_at < EVERY_S:
            return
        self._written_at = self._clock()
        scalars = {TAGS[name]: value for name, value in update.losses.items()}
        scalars["learner/lag"] = update.lag
        scalars["learner/steps_per_s"] = status.steps_per_s
        scalars["learner/steps_dropped"] = status.steps_dropped
        if self._episodes:
            count = len(self._episodes)
            scalars["episode/return"] = sum(each.total_reward for each in self._episodes) / count
            scalars["episode/length"] = sum(each.length for each in self._episodes) / count
            self._episodes.clear()
        if mean_return is not None:
            scalars["episode/return_of_last_100"] = mean_return
        try:
            self._write(scalars, status.steps_trained)
        except OSError as error:
            self._failed = True
            log.error(
                "TensorBoard's events can't be written to %s: %s. Training goes on without them",
                self._run_dir,
                error.strerror,
            )

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, scalars: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            self._writer = RecordWriter(_open(self._run_dir))
            self._record(event_pb2.Event(file_version="brain.Event:2"))
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._record(event_pb2.Event(session_log=start), step)
        values = [
            summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()
        ]
        self._record(event_pb2.Event(summary=summary_pb2.Summary(value=values)), step)
        self._writer.flush()

    def _record(self, event: Any, step: int = 0) -> None:
        event.wall_time, event.step = time.time(), step
        self._writer.write(event.SerializeToString())


def _open(run_dir: Path) -> BinaryIO:
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
    # Unbuffered: a full disk is then noticed where it is written to, and not once more on closing.
    return (run_dir / name).open("ab", buffering=0)
