"""Whether anything is learned, with bounds that a learner which doesn't work can't meet."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.games import (
    ActionKind,
    FrameSink,
    Game,
    GameDescription,
    Observation,
    Transition,
    make_game,
)
from metabonk.settings.schema import Learning
from tests.support.lessons import lesson


class Puzzle(Game):
    """A game without a picture, whose observations are rows of numbers."""

    def __init__(self, seed: int) -> None:
        super().__init__(self.DESCRIPTION)
        self.random = np.random.default_rng(seed)

    DESCRIPTION: GameDescription

    @property
    def source_size(self) -> tuple[int, int]:
        return 2, 2

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        pass

    def frame(self) -> NDArray[np.uint8]:
        return np.zeros((2, 2, 3), np.uint8)

    def close(self) -> None:
        pass


class Recall(Puzzle):
    """Shows a sign once, then nothing twice; then the action should be the one of the sign."""

    DESCRIPTION = GameDescription("test:recall", (2,), ("left", "right"))

    def reset(self) -> Observation:
        self.sign, self.step_number = int(self.random.integers(2)), 0
        return np.array([2 * self.sign - 1, 0], np.float32)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        self.step_number += 1
        over = self.step_number == 3
        asked = np.array([0, self.step_number == 2], np.float32)
        return Transition(asked, float(over and action == self.sign), over, False)


class Aim(Puzzle):
    """The nearer to the mark on both axes, the better."""

    DESCRIPTION = GameDescription(
        "test:aim", (2,), ("across", "up"), action_kind=ActionKind.CONTINUOUS
    )

    def reset(self) -> Observation:
        self.mark = self.random.uniform(-1, 1, 2).astype(np.float32)
        return self.mark

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        missed = float(np.abs(action - self.mark).mean())
        return Transition(self.mark, -missed, True, False)


class Keyboard(Puzzle):
    """Two choices, of three options and of two; each has a right one, which is shown."""

    DESCRIPTION = GameDescription(
        "test:keyboard",
        (5,),
        ("a", "b", "c", "d", "e"),
        action_kind=ActionKind.MULTI_DISCRETE,
        action_sizes=(3, 2),
    )

    def reset(self) -> Observation:
        self.right = self.random.integers(0, [3, 2])
        shown = np.zeros(5, np.float32)
        shown[[self.right[0], 3 + self.right[1]]] = 1
        self.shown = shown
        return shown

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        return Transition(self.shown, float((action == self.right).mean()), True, False)


def learned(games: Sequence[Game], decisions: int, **settings: Any) -> tuple[float, float]:
    """Mean returns of the first hundred episodes, and of the last."""
    learning = Learning.model_validate(
        {"learning_rate": 3e-3, "rollout_steps": 16, "batch_size": 256} | settings
    )
    returns = lesson(games, learning, decisions)
    return fmean(returns[:100]), fmean(returns[-100:])


def test_what_was_shown_before_is_used_only_with_a_memory():
    games = [Recall(seed) for seed in range(8)]
    before, after = learned(games, 4_800, recurrent=True)
    assert before < 0.7
    assert after > 0.9
    _, without = learned(games, 2_400)
    assert without < 0.7


def test_axes_are_learned():
    games = [Aim(seed) for seed in range(8)]
    before, after = learned(games, 6_000, entropy_coefficient=0.0)
    assert before < -0.55
    assert after > -0.3


@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_several_choices_are_learned(advantage: str):
    games = [Keyboard(seed) for seed in range(8)]
    before, after = learned(games, 4_000, advantage=advantage)
    assert before < 0.7
    assert after > 0.95


@pytest.fixture
def poles() -> Iterator[list[Game]]:
    with ExitStack() as owned:
        games = []
        for seed in range(8):
            game = make_game("gym:CartPole-v1", Learning(observation="vector"), seed=seed)
            owned.callback(game.close)
            games.append(game)
        yield games


def test_a_pole_is_balanced_from_an_environments_own_numbers(poles: list[Game]):
    learning = Learning(learning_rate=1e-3)
    returns = lesson(poles, learning, 16_000)
    assert fmean(returns[:50]) < 40
    # Untrained it falls after some 20 steps, and 500 are the most.
    assert fmean(returns[-20:]) > 150
