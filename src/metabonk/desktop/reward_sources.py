"""Sources of the reward of a program that knows nothing of MetaBonk."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metabonk.desktop.child import Child
from metabonk.desktop.definition import (
    DigitsReward,
    MemoryReward,
    OutputReward,
    Region,
    Reward,
    SocketReward,
)
from metabonk.desktop.digits import DigitReader
from metabonk.desktop.game_folder import GameFolder
from metabonk.desktop.memory_reader import MemoryReader, Place
from metabonk.desktop.output_reader import OutputReader
from metabonk.desktop.reward_socket import RewardSocket

SOCKET = "rewards"


class Reading(NamedTuple):
    """State of a reward.

    Attributes:
        value: the number whose growth is the reward; None: it can't be read for a moment.
        over: the program says that the episode has ended.
    """

    value: float | None
    over: bool = False


class RewardSource:
    """Source of a program's reward.

    Attributes:
        environment: variables for the program.
    """

    environment: Mapping[str, str] = MappingProxyType({})

    def begin(self, child: Child) -> None:
        """Begin an episode of a program, which has come through its menus.

        Raises:
            GameError: the program has no such source.
        """

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read the reward.

        Args:
            pixels: of the display, ``H×W×3`` RGB.

        Raises:
            GameError: the source has something else than a reward.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the source."""


class DigitsSource(RewardSource):
    """A number on the screen."""

    def __init__(self, reward: DigitsReward) -> None:
        self._region = reward.region
        self._reader = DigitReader(reward.glyphs, reward.threshold, reward.pitch)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read the number; a picture with anything else in its region has none."""
        return Reading(self._reader.read(crop(pixels, self._region)))


class OutputSource(RewardSource):
    """A number that the program prints."""

    def __init__(self, reward: OutputReward, folder: GameFolder) -> None:
        folder.output.touch()
        self._reader = OutputReader(folder.output, reward.pattern)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read the newest number."""
        return Reading(self._reader.read())

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class MemorySource(RewardSource):
    """A number in the program's memory."""

    def __init__(self, reward: MemoryReward) -> None:
        self._place = Place(
            reward.module, reward.symbol, reward.offset, reward.pointers, reward.type
        )
        self._reader: MemoryReader | None = None

    def begin(self, child: Child) -> None:
        """Find the number's place."""
        self.close()
        self._reader = MemoryReader([each.pid for each in child.session()], self._place)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read the number."""
        return Reading(None if self._reader is None else self._reader.read())

    def close(self) -> None:
        """Let go of the memory."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class SocketSource(RewardSource):
    """Rewards that the program writes to a socket."""

    def __init__(self, folder: GameFolder) -> None:
        self._socket = RewardSocket(folder.path / SOCKET)
        self.environment = self._socket.environment

    def begin(self, child: Child) -> None:
        """Leave out what was written in menus."""
        self._socket.read()
        self._socket.begin()

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Take what has been written by now."""
        self._socket.read()
        return Reading(self._socket.total, self._socket.is_done)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def open_source(reward: Reward, folder: GameFolder) -> RewardSource:
    """Open the source of a reward, before its program starts.

    Args:
        reward: of the definition.
        folder: of the game.

    Raises:
        GameError: it can't be opened.
    """
    match reward:
        case DigitsReward():
            return DigitsSource(reward)
        case OutputReward():
            return OutputSource(reward, folder)
        case MemoryReward():
            return MemorySource(reward)
        case SocketReward():
            return SocketSource(folder)
    raise AssertionError("the definition was checked")


def crop(pixels: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Return a part of a picture."""
    left, top, width, height = region
    return pixels[top : top + height, left : left + width]
