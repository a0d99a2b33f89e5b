"""The smallest proof that the whole of it learns: a real game, from pictures, in a minute."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import fmean

import pytest

from metabonk.games import make_game
from metabonk.settings.schema import Learning
from tests.support.lessons import lesson

GAMES = 4


@pytest.mark.timeout(600)
def test_doom_is_learned_from_pictures():
    learning = Learning()
    with ExitStack() as owned:
        games = [make_game("doom:basic", learning, seed=seed) for seed in range(GAMES)]
        for game in games:
            owned.callback(game.close)
        # With one seed it takes 20,000 decisions, with another, or on another processor, 40,000.
        returns = lesson(games, learning, 80_000, enough=is_learned)
    # Whoever acts by chance has some -170; whoever waits, -300; the best there is has some 85.
    assert fmean(returns[:50]) < -100
    assert is_learned(returns)


def is_learned(returns: Sequence[float]) -> bool:
    return fmean(returns[-100:]) > 20
