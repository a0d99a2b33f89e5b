"""Sampling from games that nobody watches, as fast as they run.

With spare cores the games take turns in two halves: while the policy decides for one half, in one
forward pass, the other half moves (double-buffered sampling, Petrenko et al. 2020). Where a learner
and other workers can use every core, the policy decides for all games at once, which costs less for
each. ViZDoom releases the interpreter lock while its engine moves, and each engine is a process, so
threads are enough to move several at once. Games of this process move one after another on their
thread (``env_pool``), which is woken once for all of them, and those of other processes need none
(``games.remote``).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeAlias

from metabonk.games import Observation
from metabonk.policy import Decision
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system import shared_core

Outcomes: TypeAlias = list[tuple[EnvRunner, StepResult]]


class Begun(NamedTuple):
    """A step that a game makes elsewhere."""

    runner: EnvRunner
    decision: Decision


Moving: TypeAlias = dict[int, Future[Outcomes] | Begun]
"""Steps that are being made, by the number of the game."""


class DoubleBufferedSampler:
    """Steps several games together.

    Its threads have the priority of the thread that calls ``run`` first.

    Args:
        act: decides for games by their observations and numbers.
        step: makes a step of a game, on a thread that may call it.
        on_step: called with the outcome of every step, on the thread that calls ``run``.
        thread_of: returns the only thread that may call a game; None: any may.
        parts: the games take turns in; 2 for double buffering, 1 to step all at once.
        threads: games that may move at once, of those that any thread may call.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Observation], Sequence[int]], list[Decision]],
        step: Callable[[EnvRunner, Decision], StepResult],
        on_step: Callable[[EnvRunner, StepResult], None],
        thread_of: Callable[[EnvRunner], Executor | None],
        *,
        parts: int,
        threads: int,
    ) -> None:
        self._act = act
        self._step = step
        self._on_step = on_step
        self._thread_of = thread_of
        self._parts = parts
        self._threads = [
            ThreadPoolExecutor(1, "standby-games", initializer=shared_core.stay)
            for _ in range(threads)
        ]

    def close(self) -> None:
        """End its threads."""
        for thread in self._threads:
            thread.shutdown()

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
        moving: Moving = {}
        turn = 0
        try:
            while keep_running():
                current = runners()
                part = current[turn % self._parts :: self._parts]
                turn += 1
                self._collect(moving, [runner.number for runner in part])
                if part:
                    self._dispatch(moving, part, alone=len(current) == 1)
        finally:
            wait([each for each in moving.values() if isinstance(each, Future)])
        self._collect(moving, list(moving))

    def _dispatch(self, moving: Moving, part: Sequence[EnvRunner], *, alone: bool) -> None:
        """Decide for these games, and set them moving."""
        decisions = self._act(
            [runner.observation for runner in part], [runner.number for runner in part]
        )
        bound: dict[Executor, list[tuple[EnvRunner, Decision]]] = {}
        free: list[tuple[EnvRunner, Decision]] = []
        for runner, decision in zip(part, decisions, strict=True):
            if runner.begin_step(decision):
                moving[runner.number] = Begun(runner, decision)
            elif (thread := self._thread_of(runner)) is not None:
                bound.setdefault(thread, []).append((runner, decision))
            elif alone:
                # Waking another thread for it would only cost time.
                self._on_step(runner, self._step(runner, decision))
            else:
                free.append((runner, decision))
        # Each thread is woken once for its share, of the same games as long as none opens.
        for first, thread in enumerate(self._threads):
            if share := free[first :: len(self._threads)]:
                bound[thread] = share
        for thread, decided in bound.items():
            future = thread.submit(self._step_all, decided)
            moving |= {runner.number: future for runner, _ in decided}

    def _step_all(self, decided: Sequence[tuple[EnvRunner, Decision]]) -> Outcomes:
        return [(runner, self._step(runner, decision)) for runner, decision in decided]

    def _collect(self, moving: Moving, numbers: Sequence[int]) -> None:
        """Wait for those of these games that are moving, and pass their outcomes on."""
        for number in numbers:
            if number in moving:
                step = moving[number]
                outcomes = self._step_all([step]) if isinstance(step, Begun) else step.result()
                for runner, result in outcomes:
                    del moving[runner.number]
                    self._on_step(runner, result)
