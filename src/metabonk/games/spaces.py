"""What Gymnasium's spaces are to a policy."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.games.game import ActionKind

LARGEST_VECTOR = 4096
"""Numbers that an observation may have; a picture has more, and is seen as one."""


@dataclass(frozen=True)
class Actions:
    """The actions of an environment.

    Attributes:
        kind: what one is made of.
        names: as in a game's description.
        sizes: as in a game's description.
        take: turns a policy's action into the environment's own.
    """

    kind: ActionKind
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    take: Callable[[Any], Any]


def make_actions(game: str, environment: gymnasium.Env[Any, Any]) -> Actions:
    """The actions of an environment, as a policy chooses them.

    Args:
        game: its id, for messages.
        environment: whose they are.

    Raises:
        GameError: they are of a kind that can't be played.
    """
    space = environment.action_space
    match space:
        case spaces.Discrete():
            first = int(space.start)
            names = _names(environment, int(space.n))
            return Actions(ActionKind.DISCRETE, names, (), lambda action: first + action)
        case spaces.MultiDiscrete():
            return _several(space.nvec, space.start, space.dtype)
        case spaces.MultiBinary():
            options = np.full(space.shape, 2)
            return _several(options, np.zeros_like(options), space.dtype)
        case spaces.Box() if np.issubdtype(space.dtype, np.floating) and space.shape != ():
            return _axes(space)
    raise GameError(
        f"{game} has the actions {space}; only Discrete, MultiDiscrete, MultiBinary and Box spaces "
        "of floating-point numbers can be played. Wrap the environment so that it has one of them"
    )


def vector_length(game: str, space: gymnasium.Space[Any]) -> int:
    """How many numbers an observation has.

    Args:
        game: its id, for messages.
        space: of the observations.

    Raises:
        GameError: they are something else than a row of numbers.
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        length = space.shape[0]
        if 1 <= length <= LARGEST_VECTOR:
            return length
    raise GameError(
        f"{game} has the observations {space}, not a row of 1 to {LARGEST_VECTOR} numbers. Set "
        "learning.observation to 'pixels', and the policy sees what is drawn"
    )


def _several(options: NDArray[Any], start: NDArray[Any], dtype: Any) -> Actions:
    sizes = tuple(int(size) for size in options.flat)
    names = tuple(
        f"choice {choice}: {option}" for choice, size in enumerate(sizes) for option in range(size)
    )

    def take(action: NDArray[np.int64]) -> NDArray[Any]:
        taken: NDArray[Any] = (np.reshape(action, options.shape) + start).astype(dtype)
        return taken

    return Actions(ActionKind.MULTI_DISCRETE, names, sizes, take)


def _axes(space: spaces.Box) -> Actions:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0)
    reach = np.where(bounded, np.where(bounded, high, 2) - middle, 1)

    def take(action: NDArray[np.float32]) -> NDArray[Any]:
        axes = np.reshape(action, space.shape).astype(np.float64)
        # Rounding to the space's type may lead out of it again.
        return np.clip((middle + reach * axes).astype(space.dtype), space.low, space.high)

    names = tuple(f"axis {number}" for number in range(int(np.prod(space.shape))))
    return Actions(ActionKind.CONTINUOUS, names, (), take)


def _names(environment: gymnasium.Env[Any, Any], count: int) -> tuple[str, ...]:
    """As the environment calls them (ALE's meanings, MiniGrid's enumeration), else numbers."""
    names: list[str] = []
    meanings = getattr(environment.unwrapped, "get_action_meanings", None)
    kinds = getattr(environment.unwrapped, "actions", None)
    if callable(meanings):
        names = [str(meaning).lower() for meaning in meanings()]
    elif isinstance(kinds, type) and issubclass(kinds, enum.Enum):
        names = [kind.name.lower().replace("_", " ") for kind in kinds]
    if len(names) != count:
        names = [f"action {number}" for number in range(count)]
    return tuple(names)
