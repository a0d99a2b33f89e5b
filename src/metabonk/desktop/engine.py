"""The interface of running desktop games: whoever plays one does not know what moves its clock."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class State(NamedTuple):
    """State of a game after a call.

    Attributes:
        value: the number whose growth is the reward.
        over: the episode has ended by the game's rules.
        tics: that have passed.
    """

    value: float
    over: bool
    tics: int


class Engine(ABC):
    """A running game. For one thread at a time.

    Attributes:
        size: width and height that it draws.
    """

    size: tuple[int, int]

    @abstractmethod
    def reset(self, seed: int) -> State:
        """Begin an episode.

        Args:
            seed: of everything random in it, where the game can be seeded.

        Raises:
            GameError: the game failed.
        """

    @abstractmethod
    def step(self, keys: tuple[str, ...], tics: int) -> State:
        """Hold keys for some tics, or fewer if the episode ends.

        Raises:
            GameError: the game failed.
        """

    @abstractmethod
    def draw(self) -> NDArray[np.uint8]:
        """Return the picture, ``H×W×3`` uint8 RGB.

        Raises:
            GameError: the game failed, or has changed its size.
        """

    @abstractmethod
    def close(self) -> None:
        """End the game and its display; may be called twice."""
