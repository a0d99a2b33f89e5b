"""Plays games that nobody watches as fast as it goes.

Where there are cores to spare the games take turns in two halves: while the policy decides for one
half, in one forward pass, the engines of the other half move (double-buffered sampling, Petrenko et
al. 2020). Where a learner and other workers have use for every core, the policy decides for all
games at once, which costs less for each. ViZDoom leaves Python's lock while its engine moves, and
each engine is a process, so threads are enough to have several move at once.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from metabonk.errors import GameError
from metabonk.policy import Actor
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system.process import lower_priority


class DoubleBufferedSampler:
    """Takes lanes from decision to decision.

    Its threads have the priority of the thread that calls ``play`` first.

    Args:
        actor: decides.
        on_lived: told of every decision's outcome, on the thread that calls ``play``.
        parts: that the games take turns in.
        threads: games that may move at once.
    """

    def __init__(
        self,
        actor: Actor,
        on_lived: Callable[[EnvRunner, StepResult], None],
        *,
        parts: int,
        threads: int,
    ) -> None:
        self._actor = actor
        self._parts = parts
        self._on_lived = on_lived
        self._pool = ThreadPoolExecutor(threads, "standby-games")

    def close(self) -> None:
        """Ends its threads."""
        self._pool.shutdown()

    def play(
        self, lanes: Callable[[], Sequence[EnvRunner]], keep_running: Callable[[], bool]
    ) -> None:
        """Plays until ``keep_running`` says no; then every game stands still.

        Args:
            lanes: that are played; asked before every turn, since more may come. At least one.
            goes_on: asked before every turn.

        Raises:
            GameError: a game broke.
        """
        moving: dict[int, tuple[EnvRunner, Future[StepResult]]] = {}
        turn = 0
        try:
            while keep_running():
                playing = lanes()
                part = playing[turn % self._parts :: self._parts]
                turn += 1
                self._settle(moving, [lane.number for lane in part])
                if len(playing) == 1 and part:
                    # Another thread would only be woken for it.
                    self._play_alone(part[0])
                elif part:
                    self._set_moving(moving, part)
        finally:
            wait([future for _, future in moving.values()])
        self._settle(moving, list(moving))

    def _play_alone(self, lane: EnvRunner) -> None:
        version = self._actor.version
        (decision,) = self._actor.act([lane.seen()], [lane.number])
        self._on_lived(lane, lane.step(decision, version))

    def _set_moving(
        self, moving: dict[int, tuple[EnvRunner, Future[StepResult]]], part: Sequence[EnvRunner]
    ) -> None:
        version = self._actor.version
        decisions = self._actor.act([lane.seen() for lane in part], [lane.number for lane in part])
        for lane, decision in zip(part, decisions, strict=True):
            moving[lane.number] = lane, self._pool.submit(lane.step, decision, version)

    def _settle(
        self, moving: dict[int, tuple[EnvRunner, Future[StepResult]]], numbers: Sequence[int]
    ) -> None:
        """Waits for these games to stand still, and tells what came of it."""
        for number in numbers:
            if number in moving:
                lane, future = moving.pop(number)
                self._on_lived(lane, future.result())


log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
RESERVE = 128 << 20
"""Bytes of shared memory that further games leave to those that are shown: an engine takes 13 MB
and dies where there is less. In a container with Docker's 64 MB a worker plays one game."""

CLOSE_S = 2.0
PAUSE_S = 0.2


class EnvPool:
    """Opens games one after the other, in a thread of low priority.

    What can't be opened is said in the log, and the worker plays those that it has.

    Args:
        first: the lane of the game that is shown.
        open_lane: opens the lane of this number, its first episode begun.
        count: games wanted in all.
    """

    def __init__(self, first: EnvRunner, open_lane: Callable[[int], EnvRunner], count: int) -> None:
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

    def all(self) -> Sequence[EnvRunner]:
        """Those that are open now, the shown one first."""
        return tuple(self._lanes)

    def others(self) -> Sequence[EnvRunner]:
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
