"""``metabonk debug``: deterministic play and learning in one thread."""

import sqlite3
from pathlib import Path

import pytest

from metabonk.cli.debug import Progress, play_and_learn
from metabonk.cli.main import main
from metabonk.policy import encode_weights
from metabonk.policy.defaults import DEFAULTS, GameKind
from metabonk.settings import Settings, read_settings

GAMES = ["gym:minigrid:MiniGrid-Empty-5x5-v0", "doom:basic"]


def settings(game: str, seed: int) -> Settings:
    learning = {"seed": seed, "batch_size": 64, "rollout_steps": 16, "epochs": 2}
    return Settings.model_validate({"game": game, "learning": learning})


def outcome(updates: list[Progress]) -> tuple[list[float], list[int], bytes]:
    """Return the returns and lengths of all episodes and the final weights."""
    episodes = [episode for progress in updates for episode in progress.episodes]
    learner = updates[-1].learner
    return (
        [episode.total_reward for episode in episodes],
        [episode.length for episode in episodes],
        encode_weights(learner.network, learner.counters.version),
    )


@pytest.mark.parametrize("game", GAMES)
def test_the_same_seed_yields_the_same_episodes_and_weights(game: str):
    first, second = (outcome(list(play_and_learn(settings(game, 3), 160))) for _ in range(2))
    assert len(first[0]) >= 1
    assert first == second


def test_another_seed_yields_other_episodes_and_weights():
    first, second = (
        outcome(list(play_and_learn(settings("doom:basic", seed), 160))) for seed in (1, 2)
    )
    assert first[0] != second[0]
    assert first[2] != second[2]


def test_progress_is_reported_per_batch_and_once_at_the_end():
    updates = list(play_and_learn(settings("doom:basic", 0), 150))
    batch_steps = [progress.update.steps for progress in updates[:-1] if progress.update]
    assert len(batch_steps) == 2 and min(batch_steps) >= 64
    assert updates[1].step == sum(batch_steps)
    assert (updates[-1].step, updates[-1].update) == (150, None)
    assert updates[-1].learner.counters.version == 2


def test_the_run_has_settings_checkpoints_and_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METABONK_LEARNING_BATCH_SIZE", "64")
    options = ("--seed", "7", "--env-arg", "max_steps=20", "--steps", "200")
    assert main(["debug", "--game", GAMES[0], *options]) == 0
    (run_dir,) = (tmp_path / "runs").iterdir()
    learning = read_settings(run_dir / "settings.json").learning
    assert (learning.seed, learning.env_args) == (7, {"max_steps": 20})
    assert len(list((run_dir / "checkpoints").glob("*.safetensors"))) >= 1
    database = sqlite3.connect(run_dir / "metabonk.sqlite")
    count, longest = database.execute("SELECT count(*), max(length) FROM episodes").fetchone()
    database.close()
    assert count >= 9
    assert longest <= 20, "the environment got its argument"
    printed = capsys.readouterr().out
    assert printed.startswith("learning defaults for vector observations and discrete actions: ")
    assert learning.learning_rate == DEFAULTS[GameKind.VECTOR]["learning_rate"]
    assert "version    2" in printed and str(run_dir.name) in printed
