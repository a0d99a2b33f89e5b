"""Lookup of games by id."""

import contextlib

import pytest

from metabonk.errors import GameError, GameStartError, UnknownGame
from metabonk.games import available_games, describe_game, make_game
from metabonk.settings.learning import Learning


def test_the_default_games_are_available():
    assert {"doom:basic", "doom:defend_the_center", "doom:health_gathering"} <= set(
        available_games()
    )


@pytest.mark.parametrize("game_id", ["", "doom", "doom:", "doom:nope", "doom:cig", "gym:", "basic"])
def test_an_unknown_id_is_an_error_that_lists_the_available_ones(game_id: str):
    with pytest.raises(UnknownGame, match=rf"{game_id}(.|\n)*doom:basic(.|\n)*gym:<id>"):
        make_game(game_id, Learning())
    with pytest.raises(UnknownGame):
        describe_game(game_id, Learning())


def test_an_id_that_contains_a_path_is_unknown():
    with pytest.raises(UnknownGame):
        describe_game("doom:../scenarios/basic", Learning())


def test_a_missing_module_is_named():
    with pytest.raises(GameError, match="no_such_module"):
        describe_game("gym:no_such_module:Game-v0", Learning())


def test_doom_is_observed_only_as_pixels():
    message = (
        r"no vector observation: set learning\.observation to 'auto' or 'pixels', not 'vector'"
    )
    with pytest.raises(GameError, match=message):
        make_game("doom:basic", Learning(observation="vector"))
    with pytest.raises(GameError, match=message):
        describe_game("doom:basic", Learning(observation="vector"))


def test_doom_takes_no_arguments():
    with pytest.raises(
        GameStartError, match=r"takes no arguments, and learning\.env_args is size=3"
    ):
        describe_game("doom:basic", Learning(env_args={"size": 3}))


@pytest.mark.parametrize("game_id", ["doom:basic", "gym:CartPole-v1"])
def test_observations_follow_the_settings(game_id: str):
    small = Learning(
        observation="pixels",
        observation_width=84,
        observation_height=48,
        grayscale=True,
        frame_stack=1,
    )
    game = make_game(game_id, small)
    with contextlib.closing(game):
        assert game.reset(1).shape == (48, 84, 1)
        assert game.description == describe_game(game_id, small)
