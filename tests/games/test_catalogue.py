"""From a game's id to the game."""

import pytest

from metabonk.errors import GameError, UnknownGame
from metabonk.games import available_games, describe_game, make_game


def test_the_default_games_are_there_by_name():
    assert {"doom:basic", "doom:defend_the_center", "doom:health_gathering"} <= set(
        available_games()
    )


@pytest.mark.parametrize(
    "game_id", ["", "doom", "doom:", "doom:nope", "doom:cig", "gym:", "gym:Nope-v0", "basic"]
)
def test_an_unknown_id_is_answered_with_the_ids_there_are(game_id: str):
    with pytest.raises(UnknownGame) as raised:
        make_game(game_id, seed=0, frame_skip=4)
    assert raised.value.game_id == game_id
    assert "doom:basic" in raised.value.available
    with pytest.raises(UnknownGame):
        describe_game(game_id)


def test_an_id_with_a_path_in_it_names_no_game():
    with pytest.raises(UnknownGame):
        describe_game("doom:../scenarios/basic")


def test_a_missing_module_is_named():
    with pytest.raises(GameError, match="no_such_module"):
        describe_game("gym:no_such_module:Game-v0")


def test_doom_is_seen_as_pixels_only():
    with pytest.raises(GameError, match=r"learning\.observation is 'vector'.*need 'pixels'"):
        make_game("doom:basic", seed=0, frame_skip=4, observation="vector")
    with pytest.raises(GameError, match="need 'pixels'"):
        describe_game("doom:basic", observation="vector")
