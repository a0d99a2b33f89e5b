"""Any Gymnasium environment that renders ``rgb_array``."""

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metabonk.errors import GameError, UnknownGame
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.picture import View, letterbox, observe
from metabonk.games.scenarios import scenario_names
from metabonk.games.spaces import Actions, make_actions, vector_length

OWN_VIEW = View(84, 84)
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


def describe_gym(name: str, view: View | None = OWN_VIEW) -> GameDescription:
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

    def __init__(self, name: str, *, seed: int, view: View | None = OWN_VIEW) -> None:
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
        self._rendered: NDArray[np.uint8] | None = None
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

    def frame(self) -> NDArray[np.uint8]:
        """The newest picture, fitted into the spectators' size."""
        rendered = self._render() if self._rendered is None else self._rendered
        if self._spectators is None:
            return rendered
        return letterbox(rendered, *self._spectators)

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

    def _render(self) -> NDArray[np.uint8]:
        rendered = self._running_environment().render()
        if not (
            isinstance(rendered, np.ndarray)
            and rendered.dtype == np.uint8
            and rendered.ndim == 3
            and rendered.shape[2] == 3
        ):
            raise GameError(f"{self.id} renders something that is not an RGB picture")
        self._rendered = rendered
        self._own_size = int(rendered.shape[1]), int(rendered.shape[0])
        return rendered

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
    name: str, environment: gymnasium.Env[Any, Any], view: View | None
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
