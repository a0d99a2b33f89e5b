"""Recipe of a copy of an environment, which another process follows."""

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.utils import RecordConstructorArgs

from metabonk.broadcast.announcement import Recipe
from metabonk.broadcast.known_wrappers import Wrapper, arguments_of

LEFT_OUT = {
    ("gymnasium", "RecordEpisodeStatistics"),
    ("gymnasium", "RecordVideo"),
    ("gymnasium", "RenderCollection"),
    ("gymnasium", "HumanRendering"),
    ("gymnasium", "NormalizeObservation"),
    ("metabonk", "Broadcast"),
    # Contains the wrappers that do change them.
    ("stable_baselines3", "AtariWrapper"),
    ("stable_baselines3", "Monitor"),
}
"""Wrappers, by package and class, that change no action and no reward. Some would write files."""

AVERAGES = {("gymnasium", "NormalizeReward")}
"""Wrappers whose rewards depend on all those before them."""

FROM_MAKE = {"PassiveEnvChecker", "OrderEnforcing", "TimeLimit"}
"""Wrappers that ``gymnasium.make`` adds by itself, as the rest of the specification says."""


class NoRecipe(Exception):
    """An environment can't be copied; says why, as the end of a sentence."""


def recipe_of(environment: gymnasium.Env[Any, Any], spec: EnvSpec | None) -> Recipe:
    """Return the recipe for a copy that takes the same actions and gives the same rewards.

    Args:
        environment: to copy.
        spec: of the unwrapped environment, when ``gymnasium.make`` made it: a trainer may have
            registered what it returned under another name since.

    Raises:
        NoRecipe: there can be none; says why.
    """
    if spec is None:
        raise NoRecipe("it was not made by gymnasium.make")
    chain = _wrappers(environment)
    # Before those of ``make`` come those of the environment's own creator, which adds them again.
    created = list(itertools.takewhile(lambda wrapper: not _is_from_make(wrapper), chain))
    if len(created) == len(chain):
        created = []
    made = list(itertools.takewhile(_is_from_make, chain[len(created) :]))
    given = chain[len(created) + len(made) :]
    limits = [_time_limit(wrapper) for wrapper in made if type(wrapper).__name__ == "TimeLimit"]
    left_out = [wrapper for wrapper in given if _is_left_out(wrapper)]
    wrappers = [_wrapper_spec(wrapper) for wrapper in given if wrapper not in left_out]
    own = created[-1].spec if created else None
    whole = dataclasses.replace(
        spec,
        entry_point=_entry_point(spec),
        vector_entry_point=None,
        max_episode_steps=limits[0] if limits else None,
        disable_env_checker=True,
        additional_wrappers=(*(own.additional_wrappers if own else ()), *wrappers),
        kwargs={name: value for name, value in spec.kwargs.items() if name != "render_mode"},
    )
    try:
        text = whole.to_json()
    except (TypeError, ValueError) as error:
        raise NoRecipe(f"its arguments can't be written as JSON ({error})") from None
    names = tuple(type(wrapper).__name__ for wrapper in left_out)
    return Recipe(text, sys.executable, tuple(sys.path), str(Path.cwd()), names)


def follow(recipe: Recipe) -> gymnasium.Env[Any, Any]:
    """Make the copy, which renders ``rgb_array``; raises whatever its constructor raises."""
    return gymnasium.make(EnvSpec.from_json(recipe.spec), render_mode="rgb_array")


def _wrappers(environment: gymnasium.Env[Any, Any]) -> list[Wrapper]:
    """Return the wrappers, the innermost first."""
    wrappers = list[Wrapper]()
    while isinstance(environment, gymnasium.Wrapper):
        wrappers.append(environment)
        environment = environment.env
    return wrappers[::-1]


def _is_from_make(wrapper: Wrapper) -> bool:
    kind = type(wrapper)
    return kind.__module__.startswith("gymnasium.") and kind.__name__ in FROM_MAKE


def _is_left_out(wrapper: Wrapper) -> bool:
    return _name(wrapper) in LEFT_OUT or isinstance(wrapper, gymnasium.ObservationWrapper)


def _name(wrapper: Wrapper) -> tuple[str, str]:
    """Return the package and the class of a wrapper."""
    kind = type(wrapper)
    return kind.__module__.partition(".")[0], kind.__name__


def _wrapper_spec(wrapper: Wrapper) -> WrapperSpec:
    kind = type(wrapper)
    if _name(wrapper) in AVERAGES:
        raise NoRecipe(
            f"its wrapper {kind.__name__} averages over all rewards: put Broadcast inside it"
        )
    if (known := arguments_of(wrapper)) is not None:
        return WrapperSpec(kind.__name__, _importable(kind), known)
    if not isinstance(wrapper, RecordConstructorArgs):
        raise NoRecipe(
            f"its wrapper {kind.__name__} does not record its arguments "
            "(gymnasium.utils.RecordConstructorArgs): put Broadcast inside it"
        )
    arguments: dict[str, Any] = wrapper._saved_kwargs
    given = {name: value for name, value in arguments.items() if name != "env"}
    return WrapperSpec(kind.__name__, _importable(kind), given)


def _time_limit(wrapper: Any) -> int:
    return int(wrapper._max_episode_steps)


def _entry_point(spec: EnvSpec) -> str:
    if spec.entry_point is None:
        raise NoRecipe("it is registered for batches only")
    return spec.entry_point if isinstance(spec.entry_point, str) else _importable(spec.entry_point)


def _importable(creator: Any) -> str:
    """Return ``module:name`` of a class or function."""
    module, name = getattr(creator, "__module__", None), getattr(creator, "__qualname__", "")
    if module == "__main__":
        raise NoRecipe(f"{name} is defined in the script itself, not in a module")
    if module is None or not name.isidentifier():
        raise NoRecipe(f"{name or creator!r} can't be imported by its name")
    return f"{module}:{name}"
