"""The interface of every game."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.frame import Frame

FrameSink: TypeAlias = Callable[[Callable[[], Frame]], None]
"""Consumer of a tic: calls the function, once and at once, to have it drawn, or leaves it undrawn;
may block to pace the game."""


class DeviceArray(Protocol):
    """Observation in a GPU's memory; ``np.asarray`` copies it to the host's."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Copy to host memory."""
        ...


Observation: TypeAlias = NDArray[Any] | DeviceArray
"""Input of the policy: an image, ``H×W×C`` uint8, or a vector, ``N`` float32."""


class ActionKind(StrEnum):
    """Kinds of action spaces."""

    DISCRETE = "discrete"
    """An index, int."""
    MULTI_DISCRETE = "multi_discrete"
    """An index for each of several choices, ``[K]`` int64."""
    CONTINUOUS = "continuous"
    """A number for each axis, ``[K]`` float32; −1 and 1 are the ends of a bounded axis, and values
    beyond them are clipped."""


class Transition(NamedTuple):
    """Result of a step.

    Attributes:
        observation: the next one. After termination, when games draw nothing, the previous one;
            after truncation, the true last one.
        reward: unshaped and unscaled, summed over the tics of the step.
        terminated: the episode ended by the game's rules.
        truncated: the episode was cut off by its time limit.
        shaping: added to the reward for learning; not part of any return that is shown.
        life_lost: the episode ended for learning, though the game goes on with another life.
        tics: that the action was held; an episode may end before the last of them.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    shaping: float = 0.0
    life_lost: bool = False
    tics: int = 1


@dataclass(frozen=True)
class GameDescription:
    """Properties of a game that are known without starting it.

    Attributes:
        id: argument of ``make_game``.
        observation_shape: height, width, channels of a uint8 observation; or length of a
            float32 one.
        action_names: for display: per discrete action, option of each choice, or axis.
        reward_scale: factor that brings returns near 1, where they are not normalized.
        action_kind: of the action space.
        action_sizes: options of each choice of a multi-discrete space; else empty.
        tics_per_s: its own pace, at which people play or watch it.
        in_process: it runs in this process, not in an engine of its own: all calls must be made on
            the thread that started it.
        repeatable: an episode comes out the same from its seed and its actions.
    """

    id: str
    observation_shape: tuple[int, ...]
    action_names: tuple[str, ...]
    reward_scale: float = 1.0
    action_kind: ActionKind = ActionKind.DISCRETE
    action_sizes: tuple[int, ...] = ()
    tics_per_s: float = 30.0
    in_process: bool = False
    repeatable: bool = True


class Game(ABC):
    """A running game. Not thread-safe, except for reading ``source_size``; see ``in_process``."""

    def __init__(self, description: GameDescription) -> None:
        self.description = description

    @property
    def id(self) -> str:
        """Id of the game."""
        return self.description.id

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the discrete actions, the options or the axes."""
        return self.description.action_names

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Height, width, channels of a uint8 observation; or length of a float32 one."""
        return self.description.observation_shape

    @property
    @abstractmethod
    def source_size(self) -> tuple[int, int]:
        """Width and height that are drawn now, pixels."""

    def carried_state(self) -> bytes:
        """Return what the next episode depends on besides its seed and actions; mostly nothing.

        Raises:
            GameError: the game failed.
        """
        return b""

    def restore_carried_state(self, state: bytes) -> None:
        """Restore what ``carried_state`` returned before an episode that is to be repeated.

        Args:
            state: of this game, perhaps of another process. ``reset`` is called next.

        Raises:
            GameError: the game failed, or it can't use the state.
        """
        if state:
            raise GameError(f"{self.id} has no use for a carried state of {len(state)} bytes")

    @abstractmethod
    def reset(self, seed: int) -> Observation:
        """Start the next episode and return its first observation.

        Args:
            seed: of everything random in the episode, 0 ≤ seed < 2³¹.

        Raises:
            GameError: the game failed.
        """

    def begin_step(self, action: Any) -> bool:
        """Begin a step, if the game moves elsewhere while this process does something else.

        Args:
            action: that ``step`` is called with next, for the outcome.

        Returns:
            False if nothing has begun, since ``step`` does it all.

        Raises:
            GameError: the game failed.
        """
        return False

    @abstractmethod
    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Take a step.

        Args:
            action: of the description's ``ActionKind``.
            on_frame: receives every tic, to be drawn at the viewers' size, in order, on the calling
                thread. Without it, tics that the policy doesn't see are not drawn.

        Raises:
            GameError: the game failed, or the episode has ended and ``reset`` was not called.
        """

    @abstractmethod
    def set_render_size(self, size: tuple[int, int] | None) -> None:
        """Request another drawn size from the next ``reset`` on.

        Args:
            size: width and height for viewers, pixels; the game uses the nearest it has. None:
                small, in the same aspect ratio, since nobody is watching.
        """

    @abstractmethod
    def frame(self) -> Frame:
        """Return the newest frame as viewers would see it."""

    @abstractmethod
    def close(self) -> None:
        """End the game and everything it started; may be called twice."""
