"""The example's environment: by Gymnasium's own rules, and trained by MetaBonk."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metabonk.games import make_game
from metabonk.settings import Settings

FOLDER = Path(__file__).parents[2] / "examples" / "own_environment"
GAME = "gym:catch:Catch-v0"
STEPS = 2500
LEARNING = {
    "METABONK_LEARNING_BATCH_SIZE": "128",
    "METABONK_LEARNING_LEARNING_RATE": "0.003",
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    gymnasium.registry.pop("Catch-v0", None)
    sys.modules.pop("catch", None)


def test_gymnasium_finds_nothing_wrong_with_it():
    check_env(gymnasium.make("catch:Catch-v0", render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("observation", ["pixels", "auto"])
def test_it_can_be_played_by_what_is_drawn_and_by_its_own_numbers(observation: str):
    settings = Settings.model_validate({"learning": {"observation": observation}})
    game = make_game(GAME, settings.learning)
    try:
        assert game.description.action_names == ("left", "stay", "right")
        game.reset(1)
        rewards = []
        while not (transition := game.step(1)).terminated:
            rewards.append(transition.reward)
        assert set(rewards) <= {0.0} and abs(transition.reward) == 1
        assert game.frame().pixels.shape == (280, 280, 3)
        assert len(np.unique(game.frame().pixels)) > 2
    finally:
        game.close()


def test_the_fleet_learns_it(tmp_path: Path):
    """In one thread, by the code that a worker and the learner run."""
    done = subprocess.run(
        [sys.executable, "-m", "metabonk.cli.main", "debug", "--game", GAME, "--steps", str(STEPS)],
        cwd=tmp_path,
        env={**LEARNING, "PYTHONPATH": str(FOLDER), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    returns = [float(found) for found in re.findall(r"return +(-?[\d.]+) of", done.stdout)]
    assert mean(returns[-3:]) > mean(returns[:3]) + 0.5, done.stdout
