"""Policy, rollouts and optimizer together learn real games with default settings, in a minute."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import fmean

import pytest

from metabonk.games import Game, make_game
from metabonk.settings.learning import Learning
from tests.support.training import train


@contextmanager
def opened(game_id: str, learning: Learning, count: int) -> Iterator[list[Game]]:
    with ExitStack() as stack:
        games = [make_game(game_id, learning) for _ in range(count)]
        for game in games:
            stack.callback(game.close)
        yield games


@pytest.mark.timeout(600)
def test_doom_is_learned_from_frames():
    learning = Learning()

    def is_learned(returns: Sequence[float]) -> bool:
        return fmean(returns[-100:]) > 0

    with opened("doom:basic", learning, 4) as games:
        # It takes 20,000 to 30,000 steps, depending on seed and CPU.
        returns = train(games, learning, 80_000, is_done=is_learned)
    # Random actions return about -170, no action -300, the best policy about 85.
    assert fmean(returns[:50]) < -100
    assert is_learned(returns)


@pytest.mark.timeout(300)
def test_a_grid_world_is_learned_from_its_own_observation():
    pytest.importorskip("minigrid")
    learning = Learning()

    def is_learned(returns: Sequence[float]) -> bool:
        return len(returns) >= 100 and fmean(returns[-100:]) > 0.9

    with opened("gym:MiniGrid-Empty-5x5-v0", learning, 8) as games:
        # It takes some 500 episodes and ten seconds.
        returns = train(games, learning, 60_000, is_done=is_learned)
    # Random actions find the goal late or never; the best policy returns 0.955.
    assert fmean(returns[:50]) < 0.5
    assert is_learned(returns)
