import subprocess
import sys

import pytest

from metabonk.cli.game_name import require_game
from metabonk.errors import UnknownGame


@pytest.mark.parametrize("game", ["doom:basic", "gym:CartPole-v1", "desktop:mrrescue"])
def test_a_game_that_may_exist_passes_without_an_import_of_any(game: str):
    program = f"""
import sys
from metabonk.cli.game_name import require_game
require_game({game!r})
sys.exit("vizdoom" in sys.modules or "gymnasium" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("game", ["doom:basik", "basic", "gym:", "nes:mario", ""])
def test_a_game_that_there_is_not_is_refused_with_those_that_there_are(game: str):
    with pytest.raises(UnknownGame, match="doom:basic"):
        require_game(game)


@pytest.mark.parametrize(
    ("game", "near"),
    [
        ("gym:CartPol-v1", "CartPole"),
        ("gym:CartPole-v9", "v1"),
        ("gym:Nothing-v0", "gym:MODULE:ID"),
        ("gym:ALE/Pongg-v5", "`Pong`"),
        ("gym:MiniGrid-Emty-5x5-v0", "MiniGrid-Empty-5x5"),
    ],
)
def test_an_environment_that_there_is_not_is_refused_with_near_names(game: str, near: str):
    with pytest.raises(UnknownGame, match=f"{game}.*{near}"):
        require_game(game)


@pytest.mark.parametrize("game", ["gym:CartPole", "gym:ALE/Pong-v5", "gym:my_package:Mine-v0"])
def test_an_environment_that_there_may_be_passes(game: str):
    require_game(game)
