"""Desktop games as workers play them: Mr. Rescue, and a small game."""

import contextlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metabonk.errors import GameError, GameStartError
from metabonk.frame import Frame
from metabonk.games import Game, describe_game, env_interface, game_versions, make_game
from metabonk.settings.learning import Learning
from tests.support.desktop import small_game
from tests.support.frames import drawing_into
from tests.support.native_game import native_game
from tests.support.requirements import require_desktop

MR_RESCUE = "desktop:mrrescue"
WAIT, RIGHT, FAIL = 0, 1, 2


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop("love", "/usr/share/games/mrrescue/mrrescue.love", apt="love mrrescue")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@contextlib.contextmanager
def playing(game_id: str, **learning: object) -> Iterator[Game]:
    with contextlib.closing(make_game(game_id, Learning.model_validate(learning))) as game:
        yield game


def random_episode(game: Game, seed: int, *, steps: int, drawn: bool = False) -> list[bytes]:
    """Play at random; return what every step led to, without the pictures if it was drawn."""
    frames: list[Frame] = []
    observation = game.reset(seed)
    choose = random.Random(seed)
    seen = [b"" if drawn else np.asarray(observation).tobytes()]
    for _ in range(steps):
        action = choose.randrange(len(game.action_names))
        result = game.step(action, drawing_into(frames) if drawn else None)
        picture = b"" if drawn else np.asarray(result.observation).tobytes()
        seen.append(picture + repr((result.reward, result.terminated, result.tics)).encode())
        if result.terminated or result.truncated:
            break
    assert not drawn or len(frames) >= len(seen)
    return seen


def test_two_runs_of_200_steps_with_one_seed_are_equal_to_the_pixel():
    with playing(MR_RESCUE) as game, playing(MR_RESCUE) as other:
        other.reset(1)
        other.step(RIGHT)  # Whatever was played before.
        first = random_episode(game, 7, steps=200)
        assert len(first) == 201
        assert len(set(first)) > 150
        assert random_episode(other, 7, steps=200) == first
        assert random_episode(game, 8, steps=200) != first


def test_an_episode_comes_out_the_same_drawn_or_not():
    with playing(MR_RESCUE) as game:
        undrawn = random_episode(game, 3, steps=100)
        # As a replay draws it, at another size.
        game.set_render_size((640, 480))
        drawn = random_episode(game, 3, steps=100, drawn=True)
    height, width, channels = game.observation_shape
    assert [each[height * width * channels :] for each in undrawn[1:]] == drawn[1:]


def test_viewers_get_every_tic_in_the_size_that_they_want(tmp_path: Path):
    frames: list[Frame] = []
    with playing(small_game(tmp_path).game_id) as game:
        assert game.source_size == (160, 120)
        game.set_render_size((640, 360))
        game.reset(1)
        game.step(RIGHT, drawing_into(frames))
        assert game.source_size == (640, 360)
        assert {each.pixels.shape for each in frames} == {(360, 640, 3)}
        assert len(frames) == 4
        # The game is 480×360 there, in the middle, and its bar moves by 3 pixels in each tic.
        left = [int(np.argmax(each.pixels[75, 80:, 0])) for each in frames]
        assert left == [3, 6, 9, 12]


def test_the_description_follows_definition_and_settings(tmp_path: Path):
    game_id = small_game(tmp_path).game_id
    game = describe_game(game_id, Learning())
    assert game.observation_shape == (96, 128, 3)
    assert game.action_names[:2] == ("wait", "right")
    assert (game.reward_scale, game.tics_per_s) == (0.5, 60.0)
    stacked = Learning(observation_width=64, observation_height=48, grayscale=True, frame_stack=2)
    assert describe_game(game_id, stacked).observation_shape == (48, 64, 2)
    with pytest.raises(GameStartError, match="has no vector observation"):
        describe_game(game_id, Learning(observation="vector"))


def test_a_policy_outside_metabonk_is_told_the_keys(tmp_path: Path):
    interface = env_interface(small_game(tmp_path).game_id, Learning())
    assert interface.actions.to_env(RIGHT) == ["right"]
    assert interface.observe(np.zeros((120, 160, 3), np.uint8)).shape == (96, 128, 3)


def test_in_real_time_the_policy_sees_its_last_action(tmp_path: Path):
    reward = 'from = "memory"\nsymbol = "presses"\ntype = "i32"\n'
    with playing(native_game(tmp_path, reward)) as game:
        assert game.observation_shape == (96, 128, 4)
        assert not np.asarray(game.reset(0))[:, :, 3].any()
        seen = np.asarray(game.step(1).observation)[:, :, 3]
        assert (seen[:48, 64:] == 255).all()
        assert np.count_nonzero(seen) == 48 * 64


def test_only_games_with_an_adapter_can_be_repeated():
    assert describe_game(MR_RESCUE, Learning()).repeatable
    assert not describe_game("desktop:lbreakout2", Learning()).repeatable


def test_versions_change_with_the_definition(tmp_path: Path):
    first = game_versions(small_game(tmp_path).game_id)
    game_versions.cache_clear()
    second = game_versions(small_game(tmp_path, replace=("= 0.5", "= 0.25")).game_id)
    assert first["definition"] != second["definition"]
    assert first["love"] == second["love"]


def test_an_episode_ends_by_its_rule_or_its_limit(tmp_path: Path):
    with playing(small_game(tmp_path).game_id) as game:
        game.reset(1)
        steps = [game.step(RIGHT) for _ in range(5)]
        assert [each.terminated for each in steps] == [False] * 4 + [True]
        assert sum(each.reward for each in steps) == pytest.approx(20)
        with pytest.raises(GameError, match=r"has ended; call reset\(\)"):
            game.step(WAIT)
        game.reset(2)
        steps = [game.step(WAIT) for _ in range(15)]
        assert [each.truncated for each in steps] == [False] * 14 + [True]


def test_a_large_reward_counts_less_for_learning(tmp_path: Path):
    entry = small_game(tmp_path, replace=("scale = 0.5", "scale = 0.5\nclip = 3"))
    with playing(entry.game_id) as game:
        game.reset(1)
        result = game.step(RIGHT)
        assert (result.reward, result.shaping) == (pytest.approx(4), pytest.approx(-1))
        assert game.step(WAIT).shaping == 0


def test_an_episode_in_which_nothing_moves_is_cut_off(tmp_path: Path):
    entry = small_game(tmp_path, replace=("limit_s = 1", "limit_s = 9\nstuck_s = 0.5"))
    with playing(entry.game_id) as game:
        game.reset(1)
        game.step(RIGHT)
        steps = [game.step(WAIT) for _ in range(8)]
        assert [each.truncated for each in steps] == [False] * 7 + [True]


def test_a_game_that_never_rewards_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with playing(small_game(tmp_path).game_id) as game, caplog.at_level(logging.WARNING):
        for episode in range(25):
            game.reset(episode)
            while not game.step(WAIT).truncated:
                pass
    (said,) = [each.getMessage() for each in caplog.records]
    assert "20 episodes without any reward; is 'x' what is to grow?" in said


def test_a_game_that_failed_starts_anew_at_the_next_reset(tmp_path: Path):
    with playing(small_game(tmp_path).game_id) as game:
        game.reset(1)
        with pytest.raises(GameError, match="out of luck"):
            game.step(FAIL)
        with pytest.raises(GameError, match=r"call reset\(\)"):
            game.step(WAIT)
        game.reset(1)
        assert game.step(RIGHT).reward == pytest.approx(4)


def test_the_program_starts_anew_after_so_many_episodes(tmp_path: Path):
    entry = small_game(tmp_path, replace=("limit_s = 1", "limit_s = 9\nrestart_after = 2"))
    with playing(entry.game_id) as game:
        game.reset(1)
        game.reset(2)
        with pytest.raises(GameError):
            game.step(FAIL)
        for episode in range(5):
            game.reset(episode)
            assert game.step(RIGHT).reward == pytest.approx(4)
