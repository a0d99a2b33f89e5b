"""Translation between a policy and environments that MetaBonk doesn't run."""

import gymnasium
import numpy as np
import pytest

from metabonk.games import EnvInterface, env_interface, make_game
from metabonk.settings.learning import Learning


def interface(game: str, **learning: object) -> EnvInterface:
    return env_interface(game, Learning.model_validate(learning))


def test_an_environments_own_observation_is_what_its_game_shows_the_policy():
    game = make_game("gym:CartPole-v1", Learning())
    own, _ = gymnasium.make("CartPole-v1").reset(seed=7)
    try:
        assert interface("gym:CartPole-v1").observe(own).tolist() == game.reset(7).tolist()
        assert interface("gym:CartPole-v1").description == game.description
    finally:
        game.close()


def test_drawn_frames_are_scaled_where_the_policy_sees_those():
    pixels = interface("gym:CartPole-v1", observation="pixels")
    assert pixels.frame_stack == 4
    assert (
        pixels.observe(np.full((400, 600, 3), 9, np.uint8)).tolist()
        == np.full((84, 84, 3), 9).tolist()
    )


def test_doom_takes_frames_and_gives_the_buttons_of_the_scenario():
    doom = interface("doom:basic")
    assert doom.observe(np.zeros((240, 320, 3), np.uint8)).shape == (72, 128, 3)
    assert doom.actions.names == ("wait", "move left", "move right", "attack")
    assert [doom.actions.to_env(action) for action in range(4)] == [
        [0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0],
    ]


@pytest.mark.parametrize("observation", [None, "text"])
def test_what_is_no_frame_is_a_value_error(observation: object):
    with pytest.raises(ValueError, match="not an array"):
        interface("doom:basic").observe(observation)
