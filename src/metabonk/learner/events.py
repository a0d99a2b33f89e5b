"""Event files for TensorBoard: ``tensorboard --logdir runs``."""

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

log = logging.getLogger(__name__)

FOLDER = "tensorboard"


class Events:
    """Writes curves over the decisions learned from.

    Not through ``SummaryWriter``: it writes in a thread that dies on a full disk, after which
    adding to it blocks for ever. Here a full disk ends the curves and not the run.

    Args:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER
        self._writer: EventsWriter | None = None
        self._gave_up = False

    def add(self, scalars: Mapping[str, float | None], step: int) -> None:
        """Adds a point to each curve.

        Args:
            scalars: by tag; None where there is no value yet.
            step: decisions learned from.
        """
        if self._gave_up:
            return
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
            if value is not None
        ]
        try:
            if self._writer is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._writer = EventsWriter(str(self._folder / "events"))
            self._writer.write_event(
                Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            )
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def __enter__(self) -> "Events":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as failure:
            self._give_up(failure)

    def _give_up(self, error: OSError) -> None:
        writer, self._writer = self._writer, None
        self._gave_up = True
        if writer is not None:
            with contextlib.suppress(OSError):  # Of the disk that is full already.
                writer.close()
        log.error("curves for TensorBoard are not written any more: %s", error.strerror or error)
