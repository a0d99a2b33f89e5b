"""Policy, rollouts and optimizer together learn a real game from its frames, in a minute."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import fmean

import pytest

from metabonk.games import make_game
from metabonk.settings.schema import Learning
from tests.support.training import train

GAMES = 4


@pytest.mark.timeout(600)
def test_doom_is_learned_from_frames():
    learning = Learning()
    with ExitStack() as stack:
        games = [make_game("doom:basic", learning, seed=seed) for seed in range(GAMES)]
        for game in games:
            stack.callback(game.close)
        # It takes 20,000 to 40,000 steps, depending on seed and CPU.
        returns = train(games, learning, 80_000, is_done=is_learned)
    # Random actions return about -170, no action -300, the best policy about 85.
    assert fmean(returns[:50]) < -100
    assert is_learned(returns)


def is_learned(returns: Sequence[float]) -> bool:
    return fmean(returns[-100:]) > 20
