"""Recipes for copies of environments, or why there is none."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, RescaleAction, TimeLimit
from stable_baselines3.common.monitor import Monitor

from metabonk.broadcast import recipe as module
from metabonk.broadcast.announcement import Announcement, Recipe
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.recipe import NoRecipe, follow
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.wrapper import Broadcast

NAME = "OfRecipes-v0"


class Plain(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
    metadata: ClassVar = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = None, given: Any = None) -> None:
        self.render_mode, self.given = render_mode, given

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}


class Nameless(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Does not record its arguments, of which it has none."""


def wrapped_by_its_creator(**given: Any) -> gymnasium.Env[Any, Any]:
    return Nameless(Plain(**given))


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """Return a function that registers an entry point."""

    def registered(entry_point: Any, **given: Any) -> str:
        gymnasium.register(NAME, entry_point=entry_point, **given)
        return NAME

    yield registered
    gymnasium.registry.pop(NAME, None)


def recipe_of(environment: gymnasium.Env[Any, Any]) -> Recipe:
    return module.recipe_of(environment, environment.unwrapped.spec)


def chain(environment: gymnasium.Env[Any, Any]) -> list[str]:
    """Return the classes of an environment, the outermost first."""
    names = []
    while isinstance(environment, gymnasium.Wrapper):
        names.append(type(environment).__name__)
        environment = environment.env
    return [*names, type(environment).__name__]


def copy_of(recipe: Recipe) -> list[str]:
    with contextlib.closing(follow(recipe)) as copy:
        assert copy.unwrapped.render_mode == "rgb_array"
        return chain(copy)


def test_a_registered_class_is_imported_by_its_name(register: Callable[..., str]):
    recipe = recipe_of(gymnasium.make(register(Plain), given=[1, {"a": 2}]))
    assert json.loads(recipe.spec)["entry_point"] == "tests.broadcast.test_recipe:Plain"
    assert (recipe.python, recipe.folder) == (sys.executable, str(Path.cwd()))
    with contextlib.closing(follow(recipe)) as copy:
        assert copy.unwrapped.given == [1, {"a": 2}]  # type: ignore[attr-defined]


def test_the_copy_needs_no_registration(register: Callable[..., str]):
    recipe = recipe_of(gymnasium.make(register(Plain)))
    del gymnasium.registry[NAME]
    assert copy_of(recipe) == ["Plain"]


def test_the_limit_of_steps_is_that_of_the_environment(register: Callable[..., str]):
    name = register(Plain, max_episode_steps=5)
    for limit in (None, 7):
        made = gymnasium.make(name, max_episode_steps=limit)
        assert json.loads(recipe_of(made).spec)["max_episode_steps"] == (limit or 5)
    later = TimeLimit(RescaleAction(made, -1, 1), 3)
    assert copy_of(recipe_of(later)) == [
        "TimeLimit", "RescaleAction", "TimeLimit", "Plain",
    ]  # fmt: skip


def test_wrappers_of_the_creator_are_its_own_business(register: Callable[..., str]):
    made = gymnasium.make(register(wrapped_by_its_creator))
    assert copy_of(recipe_of(made)) == ["Nameless", "Plain"]
    assert copy_of(recipe_of(RescaleAction(made, -1, 1)))[0] == "RescaleAction"


def test_wrappers_that_change_neither_actions_nor_rewards_are_left_out():
    made = Monitor(FlattenObservation(gymnasium.make("CartPole-v1")))
    recipe = recipe_of(Broadcast(RecordEpisodeStatistics(made)))
    names = ("FlattenObservation", "Monitor", "RecordEpisodeStatistics", "Broadcast")
    assert recipe.left_out == names
    assert copy_of(recipe) == ["TimeLimit", "CartPoleEnv"]


def hidden() -> type[Plain]:
    class Hidden(Plain):
        pass

    return Hidden


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda register: Plain(), "it was not made by gymnasium.make"),
        (
            lambda register: Nameless(gymnasium.make("CartPole-v1")),
            "its wrapper Nameless does not record its arguments",
        ),
        (lambda register: gymnasium.make(register(hidden())), "can't be imported by its name"),
        (
            lambda register: gymnasium.make(register(lambda **given: Plain(**given))),
            "can't be imported by its name",
        ),
        (
            lambda register: gymnasium.make(register(Plain), given=np.zeros(2)),
            "its arguments can't be written as JSON",
        ),
        (
            lambda register: gymnasium.make(register(Plain), given=print),
            "its arguments can't be written as JSON",
        ),
    ],
)
def test_where_there_is_none_it_says_why(
    register: Callable[..., str], make: Callable[[Any], Any], reason: str
):
    with pytest.raises(NoRecipe, match=reason):
        recipe_of(make(register))


def test_what_a_script_defines_itself_can_not_be_imported(
    register: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Plain, "__module__", "__main__")
    with pytest.raises(NoRecipe, match="Plain is defined in the script itself"):
        recipe_of(gymnasium.make(register(Plain)))


def test_an_environment_that_its_trainer_registers_anew_is_still_known(
    register: Callable[..., str],
):
    """RLlib does so, with what its user's function returns."""
    made: list[Broadcast] = []

    def create(**given: Any) -> Broadcast:
        made.append(Broadcast(gymnasium.make("CartPole-v1", **given)))
        return made[0]

    environment = gymnasium.make(register(create))
    environment.reset()
    (file,) = find_rings()
    announced = Announcement.from_json(RingReader(file).announcement)
    assert announced.name == "CartPole-v1-0" and announced.recipe is not None
    assert json.loads(announced.recipe.spec)["id"] == "CartPole-v1"
    environment.close()
