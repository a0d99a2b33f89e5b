"""Sampling from games that nobody watches, as fast as they run.

With spare cores the games take turns in two halves: while the policy decides for one half, in one
forward pass, the engines of the other half move (double-buffered sampling, Petrenko et al. 2020).
Where a learner and other workers can use every core, the policy decides for all games at once,
which costs less for each. ViZDoom releases the interpreter lock while its engine moves, and each
engine is a process, so threads are enough to move several at once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from metabonk.errors import GameError
from metabonk.policy import Actor
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system import shared_memory
from metabonk.system.process import lower_priority

log = logging.getLogger(__name__)

CLOSE_S = 2.0
PAUSE_S = 0.2


class DoubleBufferedSampler:
    """Steps several games together.

    Its threads have the priority of the thread that calls ``run`` first.

    Args:
        actor: decides.
        on_step: called with the outcome of every step, on the thread that calls ``run``.
        parts: the games take turns in; 2 for double buffering, 1 to step all at once.
        threads: games that may move at once.
    """

    def __init__(
        self,
        actor: Actor,
        on_step: Callable[[EnvRunner, StepResult], None],
        *,
        parts: int,
        threads: int,
    ) -> None:
        self._actor = actor
        self._parts = parts
        self._on_step = on_step
        self._pool = ThreadPoolExecutor(threads, "standby-games")

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()

    def run(
        self, runners: Callable[[], Sequence[EnvRunner]], keep_running: Callable[[], bool]
    ) -> None:
        """Step games until ``keep_running`` returns false and none of them is moving.

        Args:
            runners: returns the games, at least one; called before every turn, as more may open.
            keep_running: called before every turn.

        Raises:
            GameError: a game broke.
        """
        moving: dict[int, tuple[EnvRunner, Future[StepResult]]] = {}
        turn = 0
        try:
            while keep_running():
                current = runners()
                part = current[turn % self._parts :: self._parts]
                turn += 1
                self._collect(moving, [runner.number for runner in part])
                if len(current) == 1 and part:
                    # Waking another thread for it would only cost time.
                    self._step_single(part[0])
                elif part:
                    self._dispatch(moving, part)
        finally:
            wait([future for _, future in moving.values()])
        self._collect(moving, list(moving))

    def _step_single(self, runner: EnvRunner) -> None:
        (decision,) = self._actor.act([runner.observation], [runner.number])
        self._on_step(runner, runner.step(decision))

    def _dispatch(
        self, moving: dict[int, tuple[EnvRunner, Future[StepResult]]], part: Sequence[EnvRunner]
    ) -> None:
        """Decide for these games, and set them moving."""
        decisions = self._actor.act(
            [runner.observation for runner in part], [runner.number for runner in part]
        )
        for runner, decision in zip(part, decisions, strict=True):
            moving[runner.number] = runner, self._pool.submit(runner.step, decision)

    def _collect(
        self, moving: dict[int, tuple[EnvRunner, Future[StepResult]]], numbers: Sequence[int]
    ) -> None:
        """Wait for those of these games that are moving, and pass their outcomes on."""
        for number in numbers:
            if number in moving:
                runner, future = moving.pop(number)
                self._on_step(runner, future.result())


class EnvPool:
    """The games of a worker; all but the first are opened one by one, on a background thread.

    A game that can't be opened is logged, and the worker plays those it has.

    Args:
        first: the shown game.
        open_runner: opens the game of this number and resets it.
        count: games wanted in all.

    Attributes:
        first: the shown game.
    """

    def __init__(
        self, first: EnvRunner, open_runner: Callable[[int], EnvRunner], count: int
    ) -> None:
        self.first = first
        self._runners = [first]
        self._open_runner = open_runner
        self._count = count
        self._closed = threading.Event()
        self._may_open: Callable[[], bool] = lambda: True
        self._thread = threading.Thread(target=self._open_all, name="open-games", daemon=True)

    def start(self, may_open: Callable[[], bool] = lambda: True) -> None:
        """Start opening games.

        Args:
            may_open: called before each: starting an engine slows down the games being played.
        """
        self._may_open = may_open
        self._thread.start()

    def close(self) -> None:
        """End all games; none may be playing any more."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        for runner in self.all():
            runner.game.close()

    def all(self) -> Sequence[EnvRunner]:
        """Return the games that are open now, the shown one first."""
        return tuple(self._runners)

    def others(self) -> Sequence[EnvRunner]:
        """Return the games that are open now, without the shown one."""
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
                self._runners.append(self._open_runner(number))
            except GameError as error:
                log.warning(
                    "plays %d games instead of %d, since another can't be opened: %s",
                    number,
                    self._count,
                    error,
                )
                return


def _require_shared_memory() -> None:
    free, reserve = shared_memory.free_bytes(), shared_memory.LIVE_GAME_RESERVE
    if free < reserve:
        raise GameError(
            f"{shared_memory.PATH} has {free >> 20} MB free, and {reserve >> 20} MB are reserved "
            "for games that are shown. Docker gives a container more with --shm-size=1g"
        )
