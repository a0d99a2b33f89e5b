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

DEFAULT_SPEC = ObservationSpec(84, 84)
"""As in Mnih et al. 2015. By default the policy observes the rendered frame, which every
environment that can be shown has."""

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
"""Exceptions seen from environments that lack something they need."""

MAX_VECTOR_LENGTH = 4096
"""Longest vector observation; longer ones are images."""


@dataclass(frozen=True)
class Actions:
    """The action space of an environment, as a policy uses it.

    Attributes:
        kind: of the space.
        names: see ``GameDescription``.
        sizes: see ``GameDescription``.
        to_env: converts a policy's action to the environment's.
    """

    kind: ActionKind
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    to_env: Callable[[Any], Any]


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
    raise GameError(
        f"{game} has the action space {space}, which is not supported. Wrap the environment so "
        "that it has a Discrete, MultiDiscrete, MultiBinary or floating-point Box space"
    )


def vector_length(game: str, space: gymnasium.Space[Any]) -> int:
    """Return the length of an environment's vector observation.

    Args:
        game: id, for messages.
        space: of the observations.

    Raises:
        GameError: the observation is not a vector.
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        length = space.shape[0]
        if 1 <= length <= MAX_VECTOR_LENGTH:
            return length
    raise GameError(
        f"{game} has the observation space {space}, which is not a vector of 1 to "
        f"{MAX_VECTOR_LENGTH} numbers. Set learning.observation to 'pixels' to observe frames"
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

    def to_env(action: NDArray[np.float32]) -> NDArray[Any]:
        axes = np.reshape(action, space.shape).astype(np.float64)
        # Rounding to the space's dtype may leave its bounds.
        return np.clip((middle + reach * axes).astype(space.dtype), space.low, space.high)

    names = tuple(f"axis {number}" for number in range(int(np.prod(space.shape))))
    return Actions(ActionKind.CONTINUOUS, names, (), to_env)


def _names(environment: gymnasium.Env[Any, Any], count: int) -> tuple[str, ...]:
    """Return the environment's names of its actions (ALE, MiniGrid), else numbers."""
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


def describe_gym(name: str, spec: ObservationSpec | None = DEFAULT_SPEC) -> GameDescription:
    """Describe an environment; it is created and closed at once.

    Args:
        name: see ``GymGame``.
        spec: see ``GymGame``.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be created, renders no ``rgb_array``, or has unsupported spaces.
    """
    environment = _make(name)
    try:
        return _describe(name, environment, spec)[0]
    finally:
        environment.close()


class GymGame(Game):
    """A Gymnasium environment; each step is one tic, so one frame.

    Args:
        name: Gymnasium id; ``module:id`` imports the module first.
        seed: of the first reset; the environment continues from there.
        spec: of the policy's observation of the rendered frame; None: the policy gets the
            environment's own vector, and frames are rendered for viewers only.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be created, or is not supported.
    """

    def __init__(
        self, name: str, *, seed: int, spec: ObservationSpec | None = DEFAULT_SPEC
    ) -> None:
        self._environment: gymnasium.Env[Any, Any] | None = _make(name)
        try:
            description, self._actions = _describe(name, self._environment, spec)
        except GameError:
            self._environment.close()
            raise
        super().__init__(description)
        self._spec = spec
        self._seed: int | None = seed
        self._render_size: tuple[int, int] | None = None
        self._next_render_size: tuple[int, int] | None = None
        self._playing = False
        self._rendered: Frame | None = None
        self._own_size = (2, 2)
        self.reset()
        self.frame()

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height of the frames for viewers, pixels."""
        if self._render_size is not None:
            return self._render_size
        return self._own_size

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        """Fit frames into ``size`` from the next ``reset`` on; None: as rendered."""
        self._next_render_size = size

    def reset(self) -> Observation:
        """Start the next episode."""
        environment = self._running_environment()
        self._render_size = self._next_render_size
        try:
            own, _ = environment.reset(seed=self._seed)
        except START_ERRORS as error:
            raise self._failed(error) from None
        self._seed = None
        self._playing = True
        return self._observe(own)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Take a step of the environment, and render it at most once."""
        if not self._playing:
            raise GameError(
                f"the episode of {self.id} has ended; call reset() before the next step"
            )
        environment = self._running_environment()
        try:
            own, reward, terminated, truncated, _ = environment.step(self._actions.to_env(action))
        except START_ERRORS as error:
            raise self._failed(error) from None
        value = float(reward)
        if not math.isfinite(value):
            self._playing = False
            raise GameError(f"{self.id} failed: its reward is {value}")
        # Termination wins over truncation in the same step.
        truncated = truncated and not terminated
        self._playing = not (terminated or truncated)
        observation = self._observe(own)
        if on_frame is not None:
            on_frame(self.frame())
        return Transition(observation, value, bool(terminated), bool(truncated))

    def frame(self) -> Frame:
        """Return the newest frame, fitted into the viewers' size."""
        rendered = self._render() if self._rendered is None else self._rendered
        if self._render_size is None:
            return rendered
        return Frame(letterbox(rendered.pixels, *self._render_size), rendered.captured_at)

    def close(self) -> None:
        """Close the environment."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._playing = False

    def _observe(self, own: Any) -> Observation:
        self._rendered = None
        if self._spec is not None:
            return observe(self._render(), self._spec)
        vector = np.array(own, np.float32)
        if not np.isfinite(vector).all():
            self._playing = False
            raise GameError(f"{self.id} failed: its observation has values that are not finite")
        return vector

    def _render(self) -> Frame:
        rendered = self._running_environment().render()
        if not (
            isinstance(rendered, np.ndarray)
            and rendered.dtype == np.uint8
            and rendered.ndim == 3
            and rendered.shape[2] == 3
        ):
            raise GameError(f"{self.id} does not render H×W×3 uint8 frames")
        self._rendered = Frame(rendered, time.monotonic())
        self._own_size = self._rendered.width, self._rendered.height
        return self._rendered

    def _running_environment(self) -> gymnasium.Env[Any, Any]:
        if self._environment is None:
            raise GameError(f"{self.id} is closed")
        return self._environment

    def _failed(self, error: Exception) -> GameError:
        self._playing = False
        return GameError(f"{self.id} failed: {type(error).__name__}: {error}")


def _make(name: str) -> gymnasium.Env[Any, Any]:
    try:
        environment = gymnasium.make(name, render_mode=RENDER_MODE)
    except gymnasium.error.UnregisteredEnv:
        raise UnknownGame(f"gym:{name}", [f"doom:{n}" for n in scenario_names()]) from None
    except START_ERRORS as error:
        raise GameError(
            f"gym:{name} can't be created: {type(error).__name__}: {error}. Install what it needs "
            "into MetaBonk's environment, or choose another game"
        ) from None
    if RENDER_MODE not in environment.metadata.get("render_modes", []):
        environment.close()
        raise GameError(
            f"gym:{name} does not support render_mode={RENDER_MODE!r}, which viewers need"
        )
    return environment


def _describe(
    name: str, environment: gymnasium.Env[Any, Any], spec: ObservationSpec | None
) -> tuple[GameDescription, Actions]:
    actions = make_actions(f"gym:{name}", environment)
    description = GameDescription(
        id=f"gym:{name}",
        observation_shape=(vector_length(f"gym:{name}", environment.observation_space),)
        if spec is None
        else spec.shape,
        action_names=actions.names,
        action_kind=actions.kind,
        action_sizes=actions.sizes,
    )
    return description, actions
