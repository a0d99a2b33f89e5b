"""Any Gymnasium environment that renders ``rgb_array`` and has discrete actions."""

import enum
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError, UnknownGame
from metabonk.games.game import FrameSink, Game, GameDescription, Transition
from metabonk.games.picture import letterbox, observe
from metabonk.games.scenarios import scenario_names

OBSERVATION_SIDE = 84
"""Pixels. The policy sees the rendered picture, 84×84 as in Mnih et al. 2015, so that every
environment that can be shown can be learned, whatever its own observations are."""

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


def describe_gym(name: str) -> GameDescription:
    """What is known of an environment; it is made for a moment and closed.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be made, renders no ``rgb_array``, or has other actions than discrete.
    """
    environment = _make(name)
    try:
        return _describe(name, environment)
    finally:
        environment.close()


class GymGame(Game):
    """One Gymnasium environment. A step of it is one tic, so one frame.

    Args:
        name: a Gymnasium id; ``module:id`` imports the module first.
        seed: of the first reset; the environment carries on from there.

    Raises:
        UnknownGame: Gymnasium has no such id.
        GameError: it can't be made, or is of a kind that can't be played.
    """

    def __init__(self, name: str, *, seed: int) -> None:
        self._environment: gymnasium.Env[Any, Any] | None = _make(name)
        super().__init__(_describe(name, self._environment))
        self._first_action = int(_discrete(name, self._environment).start)
        self._seed: int | None = seed
        self._spectators: tuple[int, int] | None = None
        self._next_spectators: tuple[int, int] | None = None
        self._playing = False
        self._rendered: NDArray[np.uint8] = np.zeros((2, 2, 3), np.uint8)
        self.reset()

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height that are handed to spectators now, pixels."""
        if self._spectators is not None:
            return self._spectators
        return int(self._rendered.shape[1]), int(self._rendered.shape[0])

    def spectate(self, size: tuple[int, int] | None) -> None:
        """From the next ``reset`` on, pictures are fitted into ``size``; None: left as rendered."""
        self._next_spectators = size

    def reset(self) -> NDArray[np.uint8]:
        """Starts the next episode."""
        environment = self._running_environment()
        self._spectators = self._next_spectators
        try:
            environment.reset(seed=self._seed)
        except START_ERRORS as error:
            raise self._broken(error) from None
        self._seed = None
        self._playing = True
        return self._look()

    def step(self, action: int, on_frame: FrameSink | None = None) -> Transition:
        """Takes one step of the environment, and renders it once."""
        if not self._playing:
            raise GameError(f"the episode of {self.id} has ended: reset it before the next step")
        environment = self._running_environment()
        try:
            _, reward, terminated, truncated, _ = environment.step(self._first_action + action)
        except START_ERRORS as error:
            raise self._broken(error) from None
        # An environment that says both at once has ended by its rules.
        truncated = truncated and not terminated
        self._playing = not (terminated or truncated)
        observation = self._look()
        if on_frame is not None:
            on_frame(self.frame())
        return Transition(observation, float(reward), bool(terminated), bool(truncated))

    def frame(self) -> NDArray[np.uint8]:
        """The newest picture, fitted into the spectators' size."""
        if self._spectators is None:
            return self._rendered
        return letterbox(self._rendered, *self._spectators)

    def close(self) -> None:
        """Closes the environment."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._playing = False

    def _look(self) -> NDArray[np.uint8]:
        rendered = self._running_environment().render()
        if not (
            isinstance(rendered, np.ndarray)
            and rendered.dtype == np.uint8
            and rendered.ndim == 3
            and rendered.shape[2] == 3
        ):
            raise GameError(f"{self.id} renders something that is not an RGB picture")
        self._rendered = rendered
        return observe(rendered, OBSERVATION_SIDE, OBSERVATION_SIDE)

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


def _describe(name: str, environment: gymnasium.Env[Any, Any]) -> GameDescription:
    return GameDescription(
        id=f"gym:{name}",
        observation_shape=(3, OBSERVATION_SIDE, OBSERVATION_SIDE),
        action_names=_action_names(environment, int(_discrete(name, environment).n)),
    )


def _discrete(name: str, environment: gymnasium.Env[Any, Any]) -> spaces.Discrete:
    space = environment.action_space
    if not isinstance(space, spaces.Discrete):
        environment.close()
        raise GameError(f"gym:{name} has the actions {space}; only discrete ones can be played")
    return space


def _action_names(environment: gymnasium.Env[Any, Any], count: int) -> tuple[str, ...]:
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
