"""Atari games, beside Gymnasium's own preprocessing."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing
from numpy.typing import NDArray

from metabonk.errors import GameStartError
from metabonk.frame import Frame
from metabonk.games import Game, describe_game, env_interface, make_game
from metabonk.games.atari import MAX_NOOPS, AtariGame
from metabonk.games.gym import View
from metabonk.games.preprocessing import ObservationSpec
from metabonk.settings.learning import Learning
from tests.support.frames import drawing_into

gymnasium.register_envs(ale_py)

FIRE = 1
CERTAIN: dict[str, Any] = {"repeat_action_probability": 0}
SCREEN = View(spec=ObservationSpec(160, 210), frame_stack=1)


def actions(game: Game, seed: int, count: int) -> list[int]:
    return list(np.random.default_rng(seed).integers(len(game.action_names), size=count))


def noops(seed: int) -> int:
    return int(np.random.default_rng(seed).integers(1, MAX_NOOPS, endpoint=True))


class Reference:
    """Gymnasium's preprocessing, started like ``AtariGame``."""

    def __init__(self, name: str, size: tuple[int, int], frame_skip: int = 4) -> None:
        raw = gymnasium.make(name, frameskip=1, **CERTAIN)
        self.env = AtariPreprocessing(raw, noop_max=0, frame_skip=frame_skip, screen_size=size)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        self.env.reset()
        for _ in range(noops(seed)):
            self.env.env.step(0)
        observation: NDArray[np.uint8] = self.env.step(FIRE)[0]
        return observation


@pytest.mark.parametrize(("name", "frame_skip"), [("SpaceInvaders", 4), ("Breakout", 3)])
def test_screens_equal_those_of_gymnasiums_preprocessing(name: str, frame_skip: int):
    name = f"ALE/{name}-v5"
    reference = Reference(name, (160, 210), frame_skip)
    with closing(AtariGame(name, frame_skip=frame_skip, view=SCREEN, arguments=CERTAIN)) as game:
        for seed in (1, 2):
            expected, observed = reference.reset(seed), game.reset(seed)
            assert (np.asarray(observed)[:, :, 0] == expected).all()
            for action in actions(game, seed, 60):
                transition = game.step(action)
                expected, reward, terminated, _, _ = reference.env.step(action)
                assert (transition.reward, transition.terminated) == (reward, terminated)
                if transition.life_lost:
                    expected = reference.env.step(FIRE)[0]
                assert (np.asarray(transition.observation)[:, :, 0] == expected).all()
    reference.env.close()


def test_by_default_the_policy_sees_four_scaled_screens():
    reference = Reference("ALE/Pong-v5", (84, 84))
    with closing(make_game("gym:ALE/Pong-v5", Learning(env_args=CERTAIN))) as game:
        assert game.observation_shape == game.reset(5).shape == (84, 84, 4)
        first = reference.reset(5)
        newest = [first] * 4
        for action in actions(game, 5, 20):
            observed = np.asarray(game.step(action).observation)
            newest = [*newest[1:], reference.env.step(action)[0]]
            # OpenCV and Pillow round areas differently.
            assert np.abs(observed - np.stack(newest, -1).astype(int)).max() <= 1
        assert game.description == describe_game("gym:ALE/Pong-v5", Learning())
        assert game.description.tics_per_s == 60
    reference.env.close()


def play(game: AtariGame, seed: int) -> Iterator[Any]:
    game.reset(seed)
    for action in actions(game, seed, 4000):
        transition = game.step(action)
        yield transition
        if transition.terminated:
            return


def test_lives_end_episodes_for_learning_and_the_game_over_ends_them_for_all():
    with closing(AtariGame("ALE/Breakout-v5", frame_skip=4, arguments=CERTAIN)) as game:
        played = list(play(game, 3))
        assert [step.life_lost for step in played].count(True) == 4, "of five lives"
        assert [step.terminated for step in played].count(True) == 1 and played[-1].terminated
        assert not played[-1].life_lost
        with pytest.raises(Exception, match="has ended"):
            game.step(0)
        assert len(list(play(game, 3))) == len(played), "lives are counted anew"


def test_rewards_are_clipped_for_learning_only():
    with closing(AtariGame("ALE/SpaceInvaders-v5", frame_skip=4, arguments=CERTAIN)) as game:
        rewards = {(step.reward, step.reward + step.shaping) for step in play(game, 1)}
    assert {0.0, 5.0, 10.0} <= {shown for shown, _ in rewards}
    assert {learned for shown, learned in rewards if shown > 0} == {1.0}
    with closing(AtariGame("ALE/Pong-v5", frame_skip=4, arguments=CERTAIN)) as game:
        lost = next(step for step in play(game, 1) if step.reward)
    assert (lost.reward, lost.shaping) == (-1, 0)


def test_the_same_seed_and_actions_lead_to_the_same_episode_sticky_ones_too():
    with closing(AtariGame("ALE/Breakout-v5", frame_skip=4)) as game:
        ale = game._running_environment().unwrapped
        ale.load_game = lambda: pytest.fail("loaded anew")  # type: ignore[attr-defined]

        def screens(seed: int) -> NDArray[Any]:
            first = game.reset(seed)
            later = [game.step(action).observation for action in actions(game, 0, 40)]
            return np.stack([np.asarray(each) for each in (first, *later)])

        first, other = screens(1), screens(2)
        assert (screens(1) == first).all()
        assert (first != other).any()


def test_an_episode_is_repeated_by_another_emulator_whatever_was_played_before():
    # Seaquest begins as its own random numbers say, which outlast an episode.
    name = "ALE/Seaquest-v5"
    with (
        closing(AtariGame(name, frame_skip=4)) as game,
        closing(AtariGame(name, frame_skip=4)) as other,
    ):

        def episode(game: AtariGame, seed: int) -> tuple[list[float], NDArray[Any]]:
            assert game.carried_state() == b""
            game.reset(seed)
            steps = [game.step(action) for action in actions(game, seed, 120)]
            return [step.reward for step in steps], np.asarray(steps[-1].observation)

        played = {seed: episode(game, seed) for seed in range(4)}
        for seed in reversed(played):
            rewards, screen = episode(other, seed)
            assert rewards == played[seed][0]
            assert (screen == played[seed][1]).all()


def test_a_step_lasts_as_many_tics_as_are_shown():
    with closing(AtariGame("ALE/Breakout-v5", frame_skip=4)) as game:
        game.reset(1)
        shown: list[int] = []
        for action in actions(game, 1, 400):
            tics = 0

            def count(draw: Any) -> None:
                nonlocal tics
                tics += 1

            transition = game.step(action, count)
            assert transition.tics == tics
            shown.append(tics)
            if transition.terminated:
                break
        assert {4, 8} <= set(shown), "the ball is served after a lost life"


def test_a_game_that_is_over_before_its_start_begins_again():
    arguments = {**CERTAIN, "max_num_frames_per_episode": 20}
    assert noops(2) > 20
    with closing(AtariGame("ALE/Freeway-v5", frame_skip=4, arguments=arguments)) as game:
        game.reset(2)
        assert not game.step(0).truncated
        while not (last := game.step(0)).truncated:
            pass
        assert not last.terminated


def pressed(learning: Learning, name: str = "ALE/Freeway-v5", count: int = 300) -> float:
    """Return the share of tics with another action than the given one, which always changes."""
    game = make_game(f"gym:{name}", learning)
    assert isinstance(game, AtariGame)
    taken: list[int] = []
    with closing(game):
        game.reset(0)
        environment = game._running_environment()
        step = environment.step

        def record(action: int) -> Any:
            taken.append(action)
            return step(action)

        environment.step = record  # type: ignore[method-assign]
        taken.clear()
        given = [1 + number % 2 for number in range(count)]
        for action in given:
            game.step(action)
    return float(np.mean(np.array(taken) != given))


def test_actions_are_sticky_as_the_id_says_or_as_set():
    def learning(**arguments: Any) -> Learning:
        return Learning(frame_skip=1, env_args=arguments)

    # A quarter of the tics repeats, and a fifth of those what equals the given action.
    assert pressed(learning()) == pytest.approx(0.2, abs=0.05)
    assert pressed(learning(repeat_action_probability=0)) == 0
    assert pressed(learning(repeat_action_probability=1)) == 1
    assert pressed(learning(), "ale_py:FreewayNoFrameskip-v4") == 0


def test_every_tic_is_drawn_for_viewers_and_none_without():
    with closing(AtariGame("ALE/Pong-v5", frame_skip=4)) as game:
        game.set_render_size((320, 180))
        game.reset(1)
        frames: list[Frame] = []
        game.step(0, drawing_into(frames))
        assert [frame.pixels.shape for frame in frames] == [(180, 320, 3)] * 4
        environment = game._running_environment()
        environment.render = lambda: pytest.fail("drawn")  # type: ignore[method-assign]
        game.step(0)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"obs_type": "rgb"}, (84, 84, 12)),
        ({"obs_type": "ram"}, (128,)),
        ({"continuous": True}, ()),
    ],
)
def test_arguments_of_ale_choose_what_is_seen_and_done(
    arguments: dict[str, Any], shape: tuple[int, ...]
):
    with closing(AtariGame("ALE/Pong-v5", frame_skip=4, arguments=arguments)) as game:
        assert game.reset(1).shape == game.observation_shape == (shape or (84, 84, 4))
        game.step(0 if shape else np.zeros(3, np.float32))


def test_drawn_frames_are_the_screens():
    pixels = Learning(observation="pixels", observation_width=60, observation_height=48)
    assert describe_game("gym:ALE/Pong-v5", pixels).observation_shape == (48, 60, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frameskip": 2}, "set learning.frame_skip"),
        ({"repeat_action_probability": 2}, "is 2, but must be 0 … 1"),
        ({"repeat_action_probability": "often"}, "is 'often', but must be"),
        ({"sticky": True}, "Its constructor takes game, mode, difficulty"),
    ],
)
def test_an_argument_that_does_not_fit_is_explained(arguments: dict[str, Any], words: str):
    with pytest.raises(GameStartError, match=words):
        describe_game("gym:ALE/Pong-v5", Learning(env_args=arguments))


def test_other_programs_play_in_gymnasiums_preprocessing():
    interface = env_interface("gym:ALE/Pong-v5", Learning())
    reference = Reference("ALE/Pong-v5", (84, 84))
    observation, _ = reference.env.reset()
    assert (interface.observe(observation)[:, :, 0] == observation).all()
    assert interface.description == describe_game("gym:ALE/Pong-v5", Learning())
    color = env_interface("gym:ALE/Pong-v5", Learning(env_args={"obs_type": "rgb"}))
    assert color.observe(np.zeros((84, 84, 3), np.uint8)).shape == (84, 84, 3)
    reference.env.close()


def test_games_without_fire_start_without_it():
    with closing(AtariGame("ALE/Freeway-v5", frame_skip=4, arguments=CERTAIN)) as game:
        game.reset(7)
        ale = game._running_environment().unwrapped.ale  # type: ignore[attr-defined]
        assert ale.getEpisodeFrameNumber() == noops(7)
