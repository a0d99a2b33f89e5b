"""Wrappers that people use a lot and that say too little of themselves to be copied.

Those of Atari games in Stable-Baselines3 and CleanRL don't record their arguments, and one of them
ends episodes where the game goes on.
"""

import functools
from typing import Any, TypeAlias

import gymnasium

Wrapper: TypeAlias = gymnasium.Wrapper[Any, Any, Any, Any]

PACKAGES = ("stable_baselines3", "cleanrl_utils")

ARGUMENTS: dict[str, dict[str, str]] = {
    "ClipRewardEnv": {},
    "EpisodicLifeEnv": {},
    "FireResetEnv": {},
    "MaxAndSkipEnv": {"skip": "_skip"},
    "NoopResetEnv": {"noop_max": "noop_max"},
    "StickyActionEnv": {"action_repeat_probability": "action_repeat_probability"},
}
"""Classes of these packages: arguments, and the attributes that keep them."""

CARRIED = {
    "EpisodicLifeEnv": ("lives", "was_real_done"),
    "StickyActionEnv": ("_sticky_action",),
}
"""Classes of these packages that carry attributes from one episode into the next."""

BENEATH = {"OrderEnforcing": ("_has_reset",), "TimeLimit": ("_elapsed_steps",)}
"""Classes of Gymnasium that do so too, where one of those is around them."""


def arguments_of(wrapper: Wrapper) -> dict[str, Any] | None:
    """Return the arguments that a wrapper was made with; None: it is not known here."""
    kind = type(wrapper)
    if _package(kind) not in PACKAGES or kind.__name__ not in ARGUMENTS:
        return None
    attributes = ARGUMENTS[kind.__name__]
    return {name: getattr(wrapper, attribute) for name, attribute in attributes.items()}


def carries(environment: gymnasium.Env[Any, Any]) -> bool:
    """Tell whether ``carried_by`` returns anything."""
    while isinstance(environment, gymnasium.Wrapper):
        kind: type = type(environment)
        if _carried(kind):
            return True
        environment = environment.env
    return False


def carried_by(environment: gymnasium.Env[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return what wrappers carry into the next episode, by their classes."""
    found = dict[str, dict[str, Any]]()
    while isinstance(environment, gymnasium.Wrapper):
        kind: type = type(environment)
        names = _carried(kind) or (BENEATH.get(kind.__name__, ()) if found else ())
        if names:
            found[kind.__name__] = {name: getattr(environment, name) for name in names}
        environment = environment.env
    return found


def carry_into(environment: gymnasium.Env[Any, Any], carried: dict[str, dict[str, Any]]) -> None:
    """Put what ``carried_by`` returned into the wrappers of a copy.

    Raises:
        AttributeError, LookupError, TypeError: it is damaged.
    """
    while isinstance(environment, gymnasium.Wrapper):
        kind: type = type(environment)
        for name in _carried(kind) or BENEATH.get(kind.__name__, ()):
            if kind.__name__ in carried:
                setattr(environment, name, carried[kind.__name__][name])
        environment = environment.env


@functools.lru_cache(maxsize=256)
def _carried(kind: type) -> tuple[str, ...]:
    return CARRIED.get(kind.__name__, ()) if _package(kind) in PACKAGES else ()


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]
