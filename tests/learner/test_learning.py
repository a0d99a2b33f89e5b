"""End-to-end learning, with bounds that a broken learner can't meet."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from metabonk.frame import Frame
from metabonk.games import (
    ActionKind,
    FrameSink,
    Game,
    GameDescription,
    Observation,
    Transition,
    make_game,
)
from metabonk.settings.learning import Learning
from tests.support.training import train


class Puzzle(Game):
    """Game that renders nothing and whose observations are vectors."""

    DESCRIPTION: GameDescription

    def __init__(self) -> None:
        super().__init__(self.DESCRIPTION)

    @property
    def source_size(self) -> tuple[int, int]:
        return 2, 2

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        pass

    def frame(self) -> Frame:
        return Frame(np.zeros((2, 2, 3), np.uint8), 0.0)

    def close(self) -> None:
        pass


class Recall(Puzzle):
    """Shows a sign once, then nothing twice; then rewards the action that matches the sign."""

    DESCRIPTION = GameDescription("test:recall", (2,), ("left", "right"))

    def reset(self, seed: int) -> Observation:
        self.sign, self.step_number = int(np.random.default_rng(seed).integers(2)), 0
        return np.array([2 * self.sign - 1, 0], np.float32)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        self.step_number += 1
        is_over = self.step_number == 3
        observation = np.array([0, self.step_number == 2], np.float32)
        return Transition(observation, float(is_over and action == self.sign), is_over, False)


class Aim(Puzzle):
    """Rewards actions near a visible target on both axes."""

    DESCRIPTION = GameDescription(
        "test:aim", (2,), ("across", "up"), action_kind=ActionKind.CONTINUOUS
    )

    def reset(self, seed: int) -> Observation:
        self.target = np.random.default_rng(seed).uniform(-1, 1, 2).astype(np.float32)
        return self.target

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        error = float(np.abs(action - self.target).mean())
        return Transition(self.target, -error, True, False)


class Keyboard(Puzzle):
    """Two choices, of three and of two options, whose right answers are visible."""

    DESCRIPTION = GameDescription(
        "test:keyboard",
        (5,),
        ("a", "b", "c", "d", "e"),
        action_kind=ActionKind.MULTI_DISCRETE,
        action_sizes=(3, 2),
    )

    def reset(self, seed: int) -> Observation:
        self.right = np.random.default_rng(seed).integers(0, [3, 2])
        observation = np.zeros(5, np.float32)
        observation[[self.right[0], 3 + self.right[1]]] = 1
        self.observation = observation
        return observation

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        return Transition(self.observation, float((action == self.right).mean()), True, False)


def train_with(games: Sequence[Game], steps: int, **settings: Any) -> tuple[float, float]:
    """Return the mean returns of the first and the last hundred episodes."""
    learning = Learning.model_validate(
        {"learning_rate": 3e-3, "rollout_steps": 16, "batch_size": 256} | settings
    )
    returns = train(games, learning, steps)
    return fmean(returns[:100]), fmean(returns[-100:])


def test_a_past_observation_is_used_only_by_a_recurrent_policy():
    games = [Recall() for _ in range(8)]
    before, after = train_with(games, 2_400, recurrent=True, learning_rate=1e-3)
    assert before < 0.7
    assert after > 0.9
    _, without = train_with(games, 2_400, learning_rate=1e-3)
    assert without < 0.7


def test_continuous_actions_are_learned():
    games = [Aim() for _ in range(8)]
    before, after = train_with(games, 6_000, entropy_coefficient=0.0)
    assert before < -0.55
    assert after > -0.3


@pytest.mark.parametrize("advantage", ["gae", "vtrace"])
def test_multi_discrete_actions_are_learned(advantage: str):
    games = [Keyboard() for _ in range(8)]
    before, after = train_with(games, 5_000, advantage=advantage, learning_rate=1e-3)
    assert before < 0.7
    # Who knows one of the two choices gets 0.75 at most.
    assert after > 0.85


@pytest.fixture
def cart_poles() -> Iterator[list[Game]]:
    with ExitStack() as stack:
        games = []
        for _ in range(8):
            game = make_game("gym:CartPole-v1", Learning(observation="vector"))
            stack.callback(game.close)
            games.append(game)
        yield games


def test_cart_pole_is_learned_from_vector_observations(cart_poles: list[Game]):
    learning = Learning(learning_rate=1e-3)
    returns = train(cart_poles, learning, 16_000)
    assert fmean(returns[:50]) < 40
    # Untrained it falls after about 20 steps; the maximum is 500.
    assert fmean(returns[-20:]) > 150
