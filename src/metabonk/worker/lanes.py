"""All games of a worker: the one that is shown at once, further ones as they open."""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from metabonk.errors import GameError
from metabonk.process import lower_priority
from metabonk.worker.lane import Lane

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
RESERVE = 128 << 20
"""Bytes of shared memory that further games leave to those that are shown: an engine takes 13 MB
and dies where there is less. In a container with Docker's 64 MB a worker plays one game."""

CLOSE_S = 2.0
PAUSE_S = 0.2


class Lanes:
    """Opens games one after the other, in a thread of low priority.

    What can't be opened is said in the log, and the worker plays those that it has.

    Args:
        first: the lane of the game that is shown.
        open_lane: opens the lane of this number, its first episode begun.
        count: games wanted in all.
    """

    def __init__(self, first: Lane, open_lane: Callable[[int], Lane], count: int) -> None:
        self.first = first
        self._lanes = [first]
        self._open_lane = open_lane
        self._count = count
        self._closed = threading.Event()
        self._may_open: Callable[[], bool] = lambda: True
        self._thread = threading.Thread(target=self._open_all, name="open-games", daemon=True)

    def start(self, may_open: Callable[[], bool] = lambda: True) -> None:
        """Starts opening.

        Args:
            may_open: asked before each game: starting one takes from those that are played.
        """
        self._may_open = may_open
        self._thread.start()

    def close(self) -> None:
        """Ends all games; none is being played any more."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        for lane in self.all():
            lane.game.close()

    def all(self) -> Sequence[Lane]:
        """Those that are open now, the shown one first."""
        return tuple(self._lanes)

    def others(self) -> Sequence[Lane]:
        """Those that nobody ever sees."""
        return self.all()[1:]

    def _open_all(self) -> None:
        lower_priority()
        for number in range(1, self._count):
            while not self._closed.is_set() and not self._may_open():
                self._closed.wait(PAUSE_S)
            if self._closed.is_set():
                return
            try:
                _require_shared_memory()
                self._lanes.append(self._open_lane(number))
            except GameError as error:
                log.warning(
                    "plays %d games instead of %d, since another can't be opened: %s",
                    number,
                    self._count,
                    error,
                )
                return


def _require_shared_memory() -> None:
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < RESERVE:
        raise GameError(
            f"{SHARED_MEMORY} has {free >> 20} MB left, and {RESERVE >> 20} MB are kept for games "
            "that are shown. Docker gives a container more with --shm-size=1g"
        )
