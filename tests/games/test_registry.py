"""Lookup of games by id."""

import contextlib

import pytest

from metabonk.errors import GameError, UnknownGame
from metabonk.games import available_games, describe_game, make_game
from metabonk.settings.schema import Learning


def test_the_default_games_are_available():
    assert {"doom:basic", "doom:defend_the_center", "doom:health_gathering"} <= set(
        available_games()
    )


@pytest.mark.parametrize(
    "game_id", ["", "doom", "doom:", "doom:nope", "doom:cig", "gym:", "gym:Nope-v0", "basic"]
)
def test_an_unknown_id_is_an_error_that_lists_the_available_ones(game_id: str):
    with pytest.raises(UnknownGame) as raised:
        make_game(game_id, Learning(), seed=0)
    assert raised.value.game_id == game_id
    assert "doom:basic" in raised.value.available
    with pytest.raises(UnknownGame):
        describe_game(game_id, Learning())


def test_an_id_that_contains_a_path_is_unknown():
    with pytest.raises(UnknownGame):
        describe_game("doom:../scenarios/basic", Learning())


def test_a_missing_module_is_named():
    with pytest.raises(GameError, match="no_such_module"):
        describe_game("gym:no_such_module:Game-v0", Learning())


def test_doom_is_observed_only_as_pixels():
    message = r"no vector observation: set learning\.observation to 'pixels', not 'vector'"
    with pytest.raises(GameError, match=message):
        make_game("doom:basic", Learning(observation="vector"), seed=0)
    with pytest.raises(GameError, match=message):
        describe_game("doom:basic", Learning(observation="vector"))


@pytest.mark.parametrize("game_id", ["doom:basic", "gym:CartPole-v1"])
def test_observations_follow_the_settings(game_id: str):
    small = Learning(observation_width=84, observation_height=48, grayscale=True)
    game = make_game(game_id, small, seed=0)
    with contextlib.closing(game):
        assert game.reset().shape == (48, 84, 1)
        assert game.description == describe_game(game_id, small)
