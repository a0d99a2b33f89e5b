"""Names of an environment's actions, which the policy's probabilities are shown with."""

from enum import EnumType
from typing import Any

import gymnasium

MAX_ACTIONS = 1000


def action_names(environment: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Return the names that discrete actions have in the environment, else their numbers.

    Args:
        environment: wrapped or not.

    Returns:
        Nothing for other actions, and for thousands of them.
    """
    space = environment.action_space
    if not isinstance(space, gymnasium.spaces.Discrete) or space.n > MAX_ACTIONS:
        return ()
    count, first = int(space.n), int(space.start)
    names = _own_names(environment.unwrapped)
    return names if len(names) == count else tuple(map(str, range(first, first + count)))


def _own_names(environment: Any) -> tuple[str, ...]:
    try:
        if hasattr(environment, "get_action_meanings"):  # Atari games.
            return tuple(str(each).lower() for each in environment.get_action_meanings())
        actions = getattr(environment, "actions", None)
        if isinstance(actions, EnumType):  # MiniGrids.
            return tuple(str(each.name) for each in actions)  # type: ignore[var-annotated]
    except (AttributeError, TypeError, ValueError):  # Something else has these names.
        pass
    return ()
