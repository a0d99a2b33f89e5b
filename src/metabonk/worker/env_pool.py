"""The games of a worker, and the threads that they are called on.

Much of what environments use is bound to the thread that made it, such as an OpenGL context.
So every call of a game that runs in this process is made on one thread: the shown game has its own,
which keeps the priority of the process, and the others share one of lower priority. Where they are
slow, they run in processes instead (``games.remote``). These, and engines that are processes of
their own, may be called from any thread.
"""

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from statistics import median
from typing import ParamSpec, TypeVar

from metabonk.errors import GameError
from metabonk.games import Game
from metabonk.games.remote import GameProcess
from metabonk.policy import Actor
from metabonk.policy.env_runner import EnvRunner
from metabonk.system import shared_memory
from metabonk.system.process import lower_priority
from metabonk.worker.scheduling import GAMES_OF_PROCESS, MAX_GAMES

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

CLOSE_S = 2.0
PAUSE_S = 0.2

MEASURED_STEPS = 20
MEASURED_S = 0.25
"""Steps, and longest time, of the measurement of a game's speed."""

MEASURED_GAME = MAX_GAMES
"""Number of the game while it is measured, which no game that learns has."""


def call_on(thread: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function on another thread, and wait for it."""
    return thread.submit(function, *args, **kwargs).result()


class EnvPool:
    """The games of a worker; all but the first are opened one by one, in the background.

    A game that can't be opened is logged, and the worker plays those it has.

    Args:
        first: the shown game; owned from now on.
        first_thread: has a single thread, which alone may call the shown game.
        open_runner: opens the game of this number, in this process if one is given, and resets it.
        count: games wanted in all.
        processes: in which the others run; 0: this one, unless they are engines.

    Attributes:
        first: the shown game.
        first_thread: of the shown game.
        count: games wanted in all.
        shares_lock: all games run in this process, and so share its interpreter lock.
    """

    def __init__(
        self,
        first: EnvRunner,
        first_thread: Executor,
        open_runner: Callable[[int, GameProcess | None], EnvRunner],
        count: int,
        processes: int = 0,
    ) -> None:
        self.first = first
        self.first_thread = first_thread
        self._is_bound = first.game.description.in_process
        self.shares_lock = self._is_bound and not processes
        self._threads = [
            ThreadPoolExecutor(1, "games", initializer=lower_priority)
            for _ in range(max(1, processes))
        ]
        self._processes: list[GameProcess | None] = [None] * processes
        self._runners = [first]
        self._open_runner = open_runner
        self.count = count
        self._closed = threading.Event()
        self._may_open: Callable[[], bool] = lambda: True
        self._opening = threading.Thread(target=self._open_all, name="open-games", daemon=True)

    def start(self, may_open: Callable[[], bool] = lambda: True) -> None:
        """Start opening games.

        Args:
            may_open: called before each: starting an engine slows down the games being played.
        """
        self._may_open = may_open
        self._opening.start()

    def close(self) -> None:
        """End all games, none of which may be playing any more; may be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._opening.is_alive():
            self._opening.join(CLOSE_S)
        with contextlib.ExitStack() as ending:
            for thread in self._threads:
                ending.callback(thread.shutdown)
            for thread, process in zip(self._threads, self._processes, strict=False):
                if process is not None:
                    ending.callback(call_on, thread, process.close)
            for runner in self.all():
                owner = self.first_thread if runner is self.first else self._thread(runner.number)
                ending.callback(call_on, owner, runner.game.close)

    def all(self) -> Sequence[EnvRunner]:
        """Return the games that are open now, the shown one first."""
        return tuple(self._runners)

    def others(self) -> Sequence[EnvRunner]:
        """Return the games that are open now, without the shown one."""
        return self.all()[1:]

    def thread_of(self, runner: EnvRunner) -> Executor | None:
        """Return the only thread that may call a game; None: any may."""
        if runner is self.first:
            return self.first_thread if self._is_bound else None
        return self._thread(runner.number) if self.shares_lock else None

    def _open_all(self) -> None:
        lower_priority()
        for number in range(1, self.count):
            while not self._closed.is_set() and not self._may_open():
                self._closed.wait(PAUSE_S)
            if self._closed.is_set():
                return
            try:
                self._runners.append(self._open(number))
            except GameError as error:
                log.warning(
                    "plays %d games instead of %d, since another can't be opened: %s",
                    number,
                    self.count,
                    error,
                )
                return

    def _open(self, number: int) -> EnvRunner:
        if self.first.game.description.in_process:
            return call_on(self._thread(number), self._open_bound, number)
        _require_shared_memory()
        return self._open_runner(number, None)

    def _open_bound(self, number: int) -> EnvRunner:
        """Open a game on its thread, whose process is started for the first one."""
        if not self._processes:
            return self._open_runner(number, None)
        index = self._index(number)
        process = self._processes[index] = self._processes[index] or GameProcess()
        return self._open_runner(number, process)

    def _thread(self, number: int) -> Executor:
        return self._threads[self._index(number)]

    def _index(self, number: int) -> int:
        """Return which thread has a game: of two that follow each other, as they take turns."""
        return (number - 1) // GAMES_OF_PROCESS % len(self._threads)


def measure_step_s(game: Game, actor: Actor) -> float:
    """Return how long a step of a game takes, seconds: the median of a few.

    Args:
        game: not in use; an episode of it is begun, and left unfinished.
        actor: decides.

    Raises:
        GameError: the game broke.
    """
    runner = EnvRunner(game, MEASURED_GAME, None, seeds=itertools.count())
    runner.reset()
    end = time.monotonic() + MEASURED_S
    took: list[float] = []
    while not took or (len(took) < MEASURED_STEPS and time.monotonic() < end):
        (decision,) = actor.act([runner.observation], [runner.number])
        began = time.perf_counter()
        runner.step(decision)
        took.append(time.perf_counter() - began)
    actor.reset_state(runner.number)
    return median(took)


def _require_shared_memory() -> None:
    free, reserve = shared_memory.free_bytes(), shared_memory.LIVE_GAME_RESERVE
    if free < reserve:
        raise GameError(
            f"{shared_memory.PATH} has {free >> 20} MB free, and {reserve >> 20} MB are reserved "
            "for games that are shown. Docker gives a container more with --shm-size=1g"
        )
