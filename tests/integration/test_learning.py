"""The smallest proof that the whole of it learns: a real game, from pictures, in a minute."""

from contextlib import ExitStack
from statistics import fmean

import pytest

from metabonk.games import make_game
from metabonk.settings.schema import Learning
from tests.learner.lessons import lesson

GAMES = 4


@pytest.mark.timeout(300)
def test_doom_is_learned_from_pictures():
    learning = Learning()
    with ExitStack() as owned:
        games = [make_game("doom:basic", learning, seed=seed) for seed in range(GAMES)]
        for game in games:
            owned.callback(game.close)
        returns = lesson(games, learning, 20_000)
    # Whoever acts by chance has some -170; whoever waits, -300; the best there is has some 85.
    assert fmean(returns[:50]) < -100
    assert fmean(returns[-100:]) > 20
