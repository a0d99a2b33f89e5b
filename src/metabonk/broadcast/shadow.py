"""The shadow of an environment: a copy that repeats its episodes, and draws them.

It runs in a process of its own, by the trainer's interpreter. Every reward is compared: an
environment that depends on something besides its random state and the actions is found out at the
first one that differs.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.announcement import Recipe
from metabonk.broadcast.carried import restore
from metabonk.broadcast.pixels import as_frame
from metabonk.broadcast.recipe import follow
from metabonk.broadcast.records import EpisodeStart, Step
from metabonk.broadcast.rendering import render
from metabonk.errors import EpisodeDiffers, ReplayError


class Shadow:
    """Copy of an environment.

    Args:
        recipe: of the copy.

    Raises:
        ReplayError: it can't be made here; says why.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._left_out = recipe.left_out
        self._step = 0
        with _explained("make the copy"):
            self._environment: gymnasium.Env[Any, Any] = follow(recipe)

    def begin(self, start: EpisodeStart) -> None:
        """Begin an episode as the trainer did.

        Raises:
            ReplayError: it can't be repeated; says why.
            WireError: the state that it starts from is damaged.
        """
        if start.no_repeat:
            raise ReplayError(f"it can't be repeated: {start.no_repeat}")
        self._step = 0
        with _explained("reset the copy"):
            restore(self._environment, start.carried)
            self._environment.reset(seed=start.seed, options=start.options)

    def step(self, step: Step) -> None:
        """Take the step that the trainer took.

        Raises:
            EpisodeDiffers: it did not come out as there; says in what.
            ReplayError: the copy broke.
        """
        with _explained("step the copy"):
            _, reward, terminated, truncated, _ = self._environment.step(step.action)
            here = Step(step.action, float(reward), bool(terminated), bool(truncated))
        number, self._step = self._step, self._step + 1
        if not _is_equal(here.reward, step.reward):
            raise self._differs(number, _differing(here.reward, step.reward))
        if here.is_last != step.is_last:
            ends = ("ends", "did not") if here.is_last else ("goes on", "ended")
            raise self._differs(number, f"the episode {ends[0]} and {ends[1]} in the trainer")

    def draw(self) -> NDArray[np.uint8]:
        """Return the copy's newest frame, ``H×W×3`` uint8.

        Raises:
            ReplayError: it can't be drawn.
        """
        with _explained("draw the copy"):
            image = render(self._environment)
            return as_frame(image[-1] if isinstance(image, list) and image else image)

    def close(self) -> None:
        """Close the copy; whatever it raises then does no harm any more."""
        with contextlib.suppress(ReplayError), _explained("close the copy"):
            self._environment.close()

    def _differs(self, number: int, difference: str) -> EpisodeDiffers:
        names = ", ".join(self._left_out)
        without = f"; the copy is made without {names}" if names else ""
        return EpisodeDiffers(
            f"it can't be repeated from its random state and its actions: in step {number + 1} "
            f"{difference}{without}",
            number,
        )


def _differing(here: float, there: float) -> str:
    words = f"{here:g}", f"{there:g}"
    if words[0] == words[1]:
        words = repr(here), repr(there)
    return f"the reward is {words[0]} and was {words[1]} in the trainer"


def _is_equal(here: float, there: float) -> bool:
    return here == there or (math.isnan(here) and math.isnan(there))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever other people's code raises into a ``ReplayError``."""
    try:
        yield
    except ReplayError:
        raise
    except Exception as error:  # Other people's code may raise anything.
        words = f"{type(error).__name__}: {error}".rstrip(": .")
        raise ReplayError(f"it can't be repeated: to {what} failed ({words})") from error
