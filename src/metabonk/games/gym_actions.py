"""The action space of a Gymnasium environment, as a policy uses it."""

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.games.game import ActionKind

log = logging.getLogger(__name__)

MAX_OPTIONS = 256
"""Most options of the integers in a Box, in sum, that a policy chooses among."""


class AxisScale(NamedTuple):
    """Scale of continuous actions: ``clip(middle + reach · axis, low, high)``.

    Attributes:
        middle: of each axis; 0 where a bound is missing.
        reach: half the width of each axis; 1 where a bound is missing.
        low: bound of each axis, or −∞.
        high: bound of each axis, or ∞.
    """

    middle: NDArray[np.float64]
    reach: NDArray[np.float64]
    low: NDArray[Any]
    high: NDArray[Any]


@dataclass(frozen=True)
class Actions:
    """The action space of an environment, as a policy uses it.

    Attributes:
        kind: of the space.
        names: see ``GameDescription``.
        sizes: see ``GameDescription``.
        to_env: converts a policy's action to the environment's.
        scale: of continuous actions, in the shape and dtype of the space; else None.
    """

    kind: ActionKind
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    to_env: Callable[[Any], Any]
    scale: AxisScale | None = None


def make_actions(game: str, environment: gymnasium.Env[Any, Any]) -> Actions:
    """Convert the action space of an environment.

    Args:
        game: id, for messages.
        environment: to play.

    Raises:
        GameError: the space is not supported.
    """
    space = environment.action_space
    match space:
        case spaces.Discrete():
            first = int(space.start)
            names = _names(environment, int(space.n))
            return Actions(ActionKind.DISCRETE, names, (), lambda action: first + action)
        case spaces.MultiDiscrete():
            return _choices(space.nvec, space.start, space.dtype)
        case spaces.MultiBinary():
            options = np.full(space.shape, 2)
            return _choices(options, np.zeros_like(options), space.dtype)
        case spaces.Box() if np.issubdtype(space.dtype, np.floating) and space.shape != ():
            return _axes(space)
        case spaces.Box() if np.issubdtype(space.dtype, np.integer) and space.shape != ():
            # Not below 0 in the type of the bounds, such as uint8.
            options = space.high.astype(np.float64) - space.low.astype(np.float64) + 1
            if options.sum() <= MAX_OPTIONS:
                return _choices(options.astype(np.int64), space.low.astype(np.int64), space.dtype)
    raise GameError(
        f"{game} has the action space {space}, which is not supported. Wrap the environment so "
        "that it has a Discrete, MultiDiscrete, MultiBinary or floating-point Box space, or a Box "
        f"of integers with up to {MAX_OPTIONS} options"
    )


def _choices(options: NDArray[Any], start: NDArray[Any], dtype: Any) -> Actions:
    sizes = tuple(int(size) for size in options.flat)
    names = tuple(
        f"choice {choice}: {option}" for choice, size in enumerate(sizes) for option in range(size)
    )

    def to_env(action: NDArray[np.int64]) -> NDArray[Any]:
        taken: NDArray[Any] = (np.reshape(action, options.shape) + start).astype(dtype)
        return taken

    return Actions(ActionKind.MULTI_DISCRETE, names, sizes, to_env)


def _axes(space: spaces.Box) -> Actions:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0)
    reach = np.where(bounded, np.where(bounded, high, 2) - middle, 1)
    scale = AxisScale(middle, reach, space.low, space.high)

    def to_env(action: NDArray[np.float32]) -> NDArray[Any]:
        axes = np.reshape(action, space.shape).astype(np.float64)
        # Rounding to the space's dtype may leave its bounds.
        return np.clip((middle + reach * axes).astype(space.dtype), space.low, space.high)

    names = tuple(f"axis {number}" for number in range(int(np.prod(space.shape))))
    return Actions(ActionKind.CONTINUOUS, names, (), to_env, scale)


def _names(environment: gymnasium.Env[Any, Any], count: int) -> tuple[str, ...]:
    """Return the environment's names of its actions (ALE, MiniGrid), else numbers."""
    names: list[str] = []
    meanings = getattr(environment.unwrapped, "get_action_meanings", None)
    kinds = getattr(environment.unwrapped, "actions", None)
    if callable(meanings):
        try:
            names = [str(meaning).lower() for meaning in meanings()]
        except Exception as error:  # Other people's code may raise anything.
            log.warning("%r has no names of its actions", environment, exc_info=error)
    elif isinstance(kinds, type) and issubclass(kinds, enum.Enum):
        names = [kind.name.lower().replace("_", " ") for kind in kinds]
    if len(names) != count:
        names = [f"action {number}" for number in range(count)]
    return tuple(names)
