"""What a guest says of its environment."""

import dataclasses
import json

import pytest

from metabonk.broadcast.announcement import Announcement, Recipe
from metabonk.guest.description import game_of, modules_of, why_not_inline

ANNOUNCED = Announcement("ppo-3", "environment", "0.2.0", 7, 30.0)


@pytest.mark.parametrize(
    ("spec", "game"),
    [('{"id": "CartPole-v1"}', "CartPole-v1"), ("{}", "ppo-3"), ("[]", "ppo-3"), ("", "ppo-3")],
)
def test_a_game_is_called_by_its_id_where_it_has_one(spec: str, game: str):
    assert game_of(ANNOUNCED) == "ppo-3"
    recipe = Recipe(spec, "python", (), "/")
    assert game_of(dataclasses.replace(ANNOUNCED, recipe=recipe)) == game


@pytest.mark.parametrize(
    ("entry_point", "modules"),
    [
        ("ale_py.env:AtariEnv", ("ale_py.env",)),
        ("gymnasium.envs.classic_control:A", ("gymnasium.envs.classic_control", "pygame")),
    ],
)
def test_what_an_environment_imports_is_known(entry_point: str, modules: tuple[str, ...]):
    spec = json.dumps({"entry_point": entry_point})
    assert modules_of(Recipe(spec, "python", (), "/")) == modules
    assert modules_of(Recipe("?", "python", (), "/")) == ()


def test_why_a_trainer_does_not_draw_is_told():
    assert why_not_inline(ANNOUNCED) == ""
    undrawn = dataclasses.replace(ANNOUNCED, draws_inline=False)
    assert "made without render_mode='rgb_array'" in why_not_inline(undrawn)
    assert "its draw is 'shadow'" in why_not_inline(dataclasses.replace(undrawn, draw="shadow"))
