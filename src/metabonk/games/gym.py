"""Any Gymnasium environment that renders ``rgb_array``."""

import enum
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError, UnknownGame
from metabonk.frame import Frame
from metabonk.games.doom_scenarios import scenario_names
from metabonk.games.game import (
    ActionKind,
    FrameSink,
    Game,
    GameDescription,
    Observation,
    Transition,
)
from metabonk.games.preprocessing import ObservationSpec, letterbox, observe

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


OWN_VIEW = ObservationSpec(84, 84)
"""As in Mnih et al. 2015. The policy sees the rendered picture, so that every environment that can
be shown can be learned, whatever its own observations are; unless those are asked for, and are a
row of numbers."""

RENDER_MODE = "rgb_array"

START_ERRORS = (
    gymnasium.error.Error,
    ImportError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    KeyError,
)
"""What constructors of environments are seen to raise when something they need is missing."""


def describe_gym(name: str, view: ObservationSpec | None = OWN_VIEW) -> GameDescription:
    """What is known of an environment; it is made for a moment and closed.

    Args:
        name: see ``GymGame``.
        view: see ``GymGame``.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be made, renders no ``rgb_array``, or has spaces that can't be played.
    """
    environment = _make(name)
    try:
        return _describe(name, environment, view)[0]
    finally:
        environment.close()


class GymGame(Game):
    """One Gymnasium environment. A step of it is one tic, so one frame.

    Args:
        name: a Gymnasium id; ``module:id`` imports the module first.
        seed: of the first reset; the environment carries on from there.
        view: of the policy; None: it is shown the environment's own observations instead of the
            picture, which is then drawn only for who watches.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be made, or is of a kind that can't be played.
    """

    def __init__(self, name: str, *, seed: int, view: ObservationSpec | None = OWN_VIEW) -> None:
        self._environment: gymnasium.Env[Any, Any] | None = _make(name)
        try:
            description, self._actions = _describe(name, self._environment, view)
        except GameError:
            self._environment.close()
            raise
        super().__init__(description)
        self._view = view
        self._seed: int | None = seed
        self._spectators: tuple[int, int] | None = None
        self._next_spectators: tuple[int, int] | None = None
        self._playing = False
        self._rendered: Frame | None = None
        self._own_size = (2, 2)
        self.reset()
        self.frame()

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height that are handed to spectators now, pixels."""
        if self._spectators is not None:
            return self._spectators
        return self._own_size

    def spectate(self, size: tuple[int, int] | None) -> None:
        """From the next ``reset`` on, pictures are fitted into ``size``; None: left as rendered."""
        self._next_spectators = size

    def reset(self) -> Observation:
        """Starts the next episode."""
        environment = self._running_environment()
        self._spectators = self._next_spectators
        try:
            seen, _ = environment.reset(seed=self._seed)
        except START_ERRORS as error:
            raise self._broken(error) from None
        self._seed = None
        self._playing = True
        return self._look(seen)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Takes one step of the environment, and renders it at most once."""
        if not self._playing:
            raise GameError(f"the episode of {self.id} has ended: reset it before the next step")
        environment = self._running_environment()
        try:
            seen, reward, terminated, truncated, _ = environment.step(self._actions.take(action))
        except START_ERRORS as error:
            raise self._broken(error) from None
        earned = float(reward)
        if not math.isfinite(earned):
            self._playing = False
            raise GameError(f"{self.id} broke: its reward is {earned}, and not finite")
        # An environment that says both at once has ended by its rules.
        truncated = truncated and not terminated
        self._playing = not (terminated or truncated)
        observation = self._look(seen)
        if on_frame is not None:
            on_frame(self.frame())
        return Transition(observation, earned, bool(terminated), bool(truncated))

    def frame(self) -> Frame:
        """Return the newest frame, fitted into the viewers' size."""
        rendered = self._render() if self._rendered is None else self._rendered
        if self._spectators is None:
            return rendered
        return Frame(letterbox(rendered.pixels, *self._spectators), rendered.captured_at)

    def close(self) -> None:
        """Closes the environment."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._playing = False

    def _look(self, seen: Any) -> Observation:
        self._rendered = None
        if self._view is not None:
            return observe(self._render(), self._view)
        numbers = np.array(seen, np.float32)
        if not np.isfinite(numbers).all():
            self._playing = False
            raise GameError(f"{self.id} broke: its observation holds numbers that are not finite")
        return numbers

    def _render(self) -> Frame:
        rendered = self._running_environment().render()
        if not (
            isinstance(rendered, np.ndarray)
            and rendered.dtype == np.uint8
            and rendered.ndim == 3
            and rendered.shape[2] == 3
        ):
            raise GameError(f"{self.id} renders something that is not an RGB picture")
        self._rendered = Frame(rendered, time.monotonic())
        self._own_size = self._rendered.width, self._rendered.height
        return self._rendered

    def _running_environment(self) -> gymnasium.Env[Any, Any]:
        if self._environment is None:
            raise GameError(f"{self.id} has been closed")
        return self._environment

    def _broken(self, error: Exception) -> GameError:
        self._playing = False
        return GameError(f"{self.id} broke: {type(error).__name__}: {error}")


def _make(name: str) -> gymnasium.Env[Any, Any]:
    try:
        environment = gymnasium.make(name, render_mode=RENDER_MODE)
    except gymnasium.error.UnregisteredEnv:
        raise UnknownGame(f"gym:{name}", [f"doom:{n}" for n in scenario_names()]) from None
    except START_ERRORS as error:
        raise GameError(
            f"gym:{name} can't be made: {type(error).__name__}: {error}. Install what it needs "
            "into the same environment as MetaBonk, or choose another game"
        ) from None
    if RENDER_MODE not in environment.metadata.get("render_modes", []):
        environment.close()
        raise GameError(f"gym:{name} does not render {RENDER_MODE}, so nobody could watch it")
    return environment


def _describe(
    name: str, environment: gymnasium.Env[Any, Any], view: ObservationSpec | None
) -> tuple[GameDescription, Actions]:
    actions = make_actions(f"gym:{name}", environment)
    description = GameDescription(
        id=f"gym:{name}",
        observation_shape=(vector_length(f"gym:{name}", environment.observation_space),)
        if view is None
        else view.shape,
        action_names=actions.names,
        action_kind=actions.kind,
        action_sizes=actions.sizes,
    )
    return description, actions
