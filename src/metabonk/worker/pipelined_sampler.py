"""Sampling from games that nobody watches, where another process decides for them.

Each thread has games of its own, in two parts: while it steps the games of one, the server decides
for those of the other. So threads hand nothing over to each other, and a thread waits only for a
server that needs longer than half of its games take to move (as the rollout workers of Sample
Factory, Petrenko et al. 2020). Games of other processes (``games.remote``) move while the thread
completes the steps of the other part, and the server decides for that.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple, TypeAlias

from metabonk.games import Observation
from metabonk.policy import Decision
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system import shared_core

PARTS = 2
IDLE_S = 0.05
"""Pause of a thread that has no game yet."""

Decisions: TypeAlias = Callable[[], list[Decision]]
"""Waits for the decisions that were asked for."""


class Decided(NamedTuple):
    """A step that is to be made, or that a game makes elsewhere."""

    runner: EnvRunner
    decision: Decision


class PipelinedSampler:
    """Steps several games on a few threads.

    Its threads are the one that calls ``run`` and others of the same priority.

    Args:
        ask: asks for decisions for games by their observations and numbers, on one of
            ``PARTS * threads`` lanes.
        step: makes a step of a game.
        on_step: called with the outcome of every step, on the thread that made it.
        threads: that step games.
    """

    def __init__(
        self,
        ask: Callable[[int, Sequence[Observation], Sequence[int]], Decisions],
        step: Callable[[EnvRunner, Decision], StepResult],
        on_step: Callable[[EnvRunner, StepResult], None],
        *,
        threads: int,
    ) -> None:
        self._ask = ask
        self._step = step
        self._on_step = on_step
        self._count = threads
        self._threads = ThreadPoolExecutor(
            max(1, threads - 1), "standby-games", initializer=shared_core.stay
        )

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown()

    def run(
        self, runners: Callable[[], Sequence[EnvRunner]], keep_running: Callable[[], bool]
    ) -> None:
        """Step games until ``keep_running`` returns false and none of them is moving.

        Args:
            runners: returns the games; called before every turn, as more may open.
            keep_running: called before every turn, on each thread.

        Raises:
            GameError: a game broke.
        """
        ended = threading.Event()

        def sample(thread: int) -> None:
            try:
                self._sample(thread, runners, keep_running, ended)
            finally:
                ended.set()

        others = [self._threads.submit(sample, thread) for thread in range(1, self._count)]
        try:
            sample(0)
        finally:
            wait(others)
        for other in others:
            other.result()

    def _sample(
        self,
        thread: int,
        runners: Callable[[], Sequence[EnvRunner]],
        keep_running: Callable[[], bool],
        ended: threading.Event,
    ) -> None:
        """Step the games of one thread."""
        asked: list[tuple[Sequence[EnvRunner], Decisions]] = [((), list)] * PARTS
        moving: list[Sequence[Decided]] = [()] * PARTS

        def ask(part: int) -> bool:
            """Ask for a part whose games have all moved; return whether the thread has any game."""
            games = runners()[thread :: self._count]
            if share := games[part::PARTS]:
                asked[part] = (
                    share,
                    self._ask(
                        PARTS * thread + part,
                        [runner.observation for runner in share],
                        [runner.number for runner in share],
                    ),
                )
            return bool(games)

        turn = 0
        while keep_running() and not ended.is_set():
            part, other = turn % PARTS, (turn + 1) % PARTS
            turn += 1
            waiting, decisions = asked[part]
            asked[part] = (), list
            moving[part] = self._move(
                itertools.starmap(Decided, zip(waiting, decisions(), strict=True))
            )
            if not moving[part] and not ask(part):
                ended.wait(IDLE_S)
            if moving[other]:
                self._complete(moving[other])
                moving[other] = ()
                ask(other)
        for begun in moving:
            self._complete(begun)

    def _move(self, decided: Iterable[Decided]) -> Sequence[Decided]:
        """Set games moving; return the steps of those that move elsewhere, and make the others."""
        elsewhere, here = list[Decided](), list[Decided]()
        for step in decided:
            (elsewhere if step.runner.begin_step(step.decision) else here).append(step)
        self._complete(here)
        return elsewhere

    def _complete(self, steps: Sequence[Decided]) -> None:
        for runner, decision in steps:
            self._on_step(runner, self._step(runner, decision))
