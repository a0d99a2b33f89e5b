"""Results of the methods of a Gymnasium environment, checked and converted."""

import math
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metabonk.games.preprocessing import as_rgb

MAX_MISSING = 100
"""Renderings in a row that may return nothing."""


class BadResult(ValueError):
    """An environment returned what can't be used; the message names it."""


class Tic(NamedTuple):
    """Outcome of one call of ``step``.

    Attributes:
        own: the environment's observation, as it returned it.
        reward: finite.
        terminated: the episode ended by the environment's rules.
        truncated: the episode was cut off; never together with ``terminated``.
        info: as the environment returned it.
    """

    own: Any
    reward: float
    terminated: bool
    truncated: bool
    info: Any


def read_reset(returned: Any) -> tuple[Any, Any]:
    """Return observation and info from what ``reset`` returned.

    Raises:
        BadResult: it is something else.
    """
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise BadResult(f"reset() returned {describe(returned)}, not an observation and an info")
    return returned


def read_step(returned: Any) -> Tic:
    """Return the outcome of a step from what ``step`` returned.

    Raises:
        BadResult: it is something else.
    """
    if not isinstance(returned, tuple) or len(returned) != 5:
        raise BadResult(
            f"step() returned {describe(returned)}, not an observation, a reward, terminated, "
            "truncated and an info"
        )
    own, reward, terminated, truncated, info = returned
    value = _number(reward, "reward")
    if not math.isfinite(value):
        raise BadResult(f"its reward is {value}")
    ended = bool(_number(terminated, "terminated"))
    # Termination wins over truncation in the same step.
    return Tic(own, value, ended, bool(_number(truncated, "truncated")) and not ended, info)


def read_bytes(returned: Any, method: str) -> bytes:
    """Return the bytes that a method returned.

    Raises:
        BadResult: it returned something else.
    """
    if not isinstance(returned, bytes):
        raise BadResult(f"{method}() returned {describe(returned)}, not bytes")
    return returned


def describe(value: Any) -> str:
    """Return dtype and shape of an array, length of a tuple or list, else the type."""
    match value:
        case None:
            return "None"
        case np.ndarray():
            return f"an array of {value.dtype} {value.shape}"
        case tuple() | list():
            return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


class Renderer:
    """Frames of an environment; the last one again where it renders nothing.

    Args:
        environment: to render.

    Attributes:
        has_rendered: there has been a frame; until then, they are black.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        self._environment = environment
        self._last: NDArray[np.uint8] = np.zeros((84, 84, 3), np.uint8)
        self._missing = 0
        self.has_rendered = False

    def render(self) -> NDArray[np.uint8]:
        """Return the newest frame, ``H×W×3`` uint8 RGB.

        Raises:
            BadResult: what was rendered is no image, or there was nothing for long.
        """
        rendered = self._environment.render()
        if isinstance(rendered, list | tuple):  # As for render_mode="rgb_array_list".
            rendered = rendered[-1] if rendered else None
        if rendered is None:
            self._missing += 1
            if self._missing > MAX_MISSING:
                raise BadResult(f"render() returned nothing {MAX_MISSING} times in a row")
            return self._last
        self._missing = 0
        try:
            self._last = as_rgb(rendered)
        except ValueError as error:
            raise BadResult(str(error)) from None
        self.has_rendered = True
        return self._last


def _number(value: Any, name: str) -> float:
    """Return a number or boolean, which some environments return as an array of one."""
    if isinstance(value, bool | int | float):
        return float(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise BadResult(f"its {name} is {describe(value)}, not a number")
    return float(array.item())
