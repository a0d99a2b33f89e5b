"""Games, policies and streams that do only what a test of the play threads needs."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabonk.frame import Frame
from metabonk.games import FrameSink, Game, GameDescription, Transition
from metabonk.policy import Decision

DESCRIPTION = GameDescription(
    id="doom:basic", observation_shape=(2, 2, 1), action_names=("left", "right")
)
PIXELS = np.zeros((4, 4, 3), np.uint8)
TICS = 2
"""In a step."""

TICS_PER_S = 200.0


class SteppingGame(Game):
    """Counts its calls, and fails when two threads step it at once.

    Args:
        length: steps of an episode.
        on_step: called in the middle of every step.
        in_process: as described.
        tics_per_s: as described.
    """

    def __init__(
        self,
        length: int = 5,
        on_step: Callable[[], None] = lambda: None,
        *,
        in_process: bool = False,
        tics_per_s: float = TICS_PER_S,
    ) -> None:
        super().__init__(replace(DESCRIPTION, in_process=in_process, tics_per_s=tics_per_s))
        self.length = length
        self.on_step = on_step
        self.steps = 0
        self.seeds: list[int] = []
        self.closed = False
        self.size: tuple[int, int] | None = None
        self.drawn: list[bool] = []
        self.draws = 0
        self.threads: set[str] = set()
        self.called_on: set[str] = set()
        self._in_episode = 0
        self._used = threading.Lock()

    @property
    def resets(self) -> int:
        return len(self.seeds)

    @property
    def source_size(self) -> tuple[int, int]:
        return (4, 4)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        self.called_on.add(threading.current_thread().name)
        self.seeds.append(seed)
        self._in_episode = 0
        return self._observation()

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        assert self._used.acquire(blocking=False), "two threads step one game"
        try:
            assert not self.closed and self._in_episode < self.length
            self.threads.add(threading.current_thread().name)
            self.called_on |= self.threads
            self.on_step()
            self.steps += 1
            self._in_episode += 1
            self.drawn.append(on_frame is not None)
            if on_frame is not None:
                for _ in range(TICS):
                    on_frame(self.frame)
            return Transition(self._observation(), 1.0, self._in_episode == self.length, False)
        finally:
            self._used.release()

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        self.called_on.add(threading.current_thread().name)
        self.size = size

    def frame(self) -> Frame:
        self.draws += 1
        self.called_on.add(threading.current_thread().name)
        return Frame(PIXELS, float(self.steps))

    def close(self) -> None:
        self.called_on.add(threading.current_thread().name)
        self.closed = True

    def _observation(self) -> NDArray[np.uint8]:
        return np.full(DESCRIPTION.observation_shape, self.steps % 256, np.uint8)


class ElsewhereGame(SteppingGame):
    """A game whose steps begin before they are asked for the outcome.

    Args:
        on_begin: called when one begins.
        on_step: called when one is completed.
    """

    def __init__(
        self,
        on_begin: Callable[[], None] = lambda: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(on_step=on_step)
        self.begun = 0
        self._on_begin = on_begin

    def begin_step(self, action: Any) -> bool:
        self.begun += 1
        self._on_begin()
        return True


class LeftActor:
    """Always goes left, and keeps the games of every batch.

    Attributes:
        version: of its decisions.
        batches: the games that were decided for at once.
    """

    def __init__(self) -> None:
        self.version = 0
        self.batches: list[tuple[int, ...]] = []

    def act(
        self, observations: Sequence[NDArray[Any]], games: Sequence[int], made: Any = None
    ) -> list[Decision]:
        assert len(observations) == len(games) > 0
        self.batches.append(tuple(games))
        return [decision(self.version) for _ in games]

    def reset_state(self, game: int) -> None: ...


def decision(version: int = 0) -> Decision:
    """Return the decision to go left."""
    return Decision(
        action=0,
        log_prob=-0.7,
        value=0.0,
        probabilities=np.full(2, 0.5, np.float32),
        version=version,
    )
