"""The contract between a game and whoever plays it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray

from metabonk.frame import Frame

FrameSink = Callable[[Frame], None]
"""Consumer of one drawn tic. It may block, to pace the game."""


class DeviceArray(Protocol):
    """An observation in memory of another device; ``np.asarray`` brings it into the host's."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """In host memory."""
        ...


Observation: TypeAlias = NDArray[Any] | DeviceArray
"""What a policy sees: a picture, ``H×W×C`` uint8, or a row of numbers, ``N`` float32."""


class ActionKind(StrEnum):
    """What an action is made of."""

    DISCRETE = "discrete"
    """One of several: an index, int."""
    MULTI_DISCRETE = "multi_discrete"
    """Several choices at once: an index for each, ``[K]`` int64."""
    CONTINUOUS = "continuous"
    """Axes: a number for each, ``[K]`` float32. −1 and 1 are the ends of an axis that has ends, and
    what lies beyond is cut off."""


class Transition(NamedTuple):
    """What one decision led to.

    Attributes:
        observation: what the policy sees next. After termination, where games
            draw nothing, the last one again. After truncation the true last one.
        reward: unshaped and unscaled, summed over the tics of the decision.
        terminated: the episode ended by the game's rules; nothing follows.
        truncated: the episode was cut off by its time limit; it would have gone on.
        shaping: what the learner adds to the reward; no part of any return that is shown.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    shaping: float = 0.0


@dataclass(frozen=True)
class GameDescription:
    """What can be known of a game without starting it.

    Attributes:
        id: as ``make_game`` takes it.
        observation_shape: height, width, channels of the uint8 observation; or how many numbers
            a float32 one has.
        action_names: for people: one a discrete action, one an option of each choice in turn, or
            one an axis.
        reward_scale: brings returns near 1; a learner that doesn't normalise them multiplies
            rewards by it.
        action_kind: what an action is made of.
        action_sizes: options of each choice, where there are several; else empty.
    """

    id: str
    observation_shape: tuple[int, ...]
    action_names: tuple[str, ...]
    reward_scale: float = 1.0
    action_kind: ActionKind = ActionKind.DISCRETE
    action_sizes: tuple[int, ...] = ()


class Game(ABC):
    """One running game. Not thread-safe, except for reading ``source_size``."""

    def __init__(self, description: GameDescription) -> None:
        self.description = description

    @property
    def id(self) -> str:
        """The game's id."""
        return self.description.id

    @property
    def action_names(self) -> tuple[str, ...]:
        """One name a discrete action, an option or an axis."""
        return self.description.action_names

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Height, width, channels of the uint8 observation, or the length of a float32 one."""
        return self.description.observation_shape

    @property
    @abstractmethod
    def source_size(self) -> tuple[int, int]:
        """Width and height that are drawn now, pixels."""

    @abstractmethod
    def reset(self) -> Observation:
        """Starts the next episode; its first observation.

        Raises:
            GameError: the game broke.
        """

    @abstractmethod
    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Takes one decision.

        Args:
            action: of the kind that the description says, see ``ActionKind``.
            on_frame: given every tic, drawn at the spectators' size, in order, on the calling
                thread. Without it, tics that the policy doesn't see are not drawn.

        Raises:
            GameError: the game broke, or the episode has ended and ``reset`` was not called.
        """

    @abstractmethod
    def spectate(self, size: tuple[int, int] | None) -> None:
        """Wishes for another drawn size, from the next ``reset`` on.

        Args:
            size: width and height for spectators, pixels; the game may only have one near it.
                None: small, in the same aspect ratio, since nobody is watching.
        """

    @abstractmethod
    def frame(self) -> Frame:
        """Return the newest frame, as viewers would see it."""

    @abstractmethod
    def close(self) -> None:
        """Ends the game and everything it started. May be called twice."""
