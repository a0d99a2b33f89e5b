"""The newest policy on the seed of an earlier episode."""

from pathlib import Path

import numpy as np
import pytest

from metabonk.errors import EpisodeDiffers, PolicyError
from metabonk.games import game_versions
from metabonk.policy.episode_log import EpisodeLog
from metabonk.replays import rematch
from metabonk.replays.rematch import play_rematch
from metabonk.replays.renderer import opened_game, repeat
from metabonk.runs.checkpoints import trained_weights
from metabonk.settings.learning import Learning
from tests.support.recorded_episodes import record
from tests.support.trained_runs import write_run

GAME = "gym:CartPole-v1"
LEARNING = Learning()


@pytest.fixture(scope="module")
def log() -> EpisodeLog:
    return record(GAME)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return trained_weights(write_run(tmp_path_factory.mktemp("rematch"), GAME))


def test_a_rematch_begins_the_same_and_comes_out_as_it_was_played(log: EpisodeLog, weights: bytes):
    played, has_end = play_rematch(log, LEARNING, weights)
    assert (played.seed, played.carried, has_end) == (log.seed, log.carried, True)
    assert played.policy_version == 12
    assert played.setup.versions == game_versions(GAME)
    assert not np.array_equal(played.actions, log.actions)
    frames = []
    for each in (log, played):
        with opened_game(each.setup, LEARNING) as game:
            repeat(each, game, lambda tic, draw: tic or frames.append(draw().pixels))
    assert np.array_equal(*frames), "the same beginning"


def test_a_rematch_is_the_same_each_time(log: EpisodeLog, weights: bytes):
    first, second = (play_rematch(log, LEARNING, weights).log for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_a_rematch_without_an_end_is_cut_off(
    log: EpisodeLog, weights: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rematch, "MAX_STEPS", 5)
    played, has_end = play_rematch(log, LEARNING, weights)
    assert (len(played), has_end) == (5, False)
    with opened_game(played.setup, LEARNING) as game:
        repeat(played, game, lambda tic, draw: None, has_end=False)
        with pytest.raises(EpisodeDiffers, match="the episode goes on"):
            repeat(played, game, lambda tic, draw: None)


def test_a_policy_of_another_game_is_refused(tmp_path: Path, log: EpisodeLog):
    other = trained_weights(write_run(tmp_path, "gym:Acrobot-v1"))
    with pytest.raises(PolicyError):
        play_rematch(log, LEARNING, other)
