"""Any Gymnasium environment that renders ``rgb_array``."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np

from metabonk.errors import GameError, GameStartError
from metabonk.frame import Frame
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.gym_actions import Actions, make_actions
from metabonk.games.gym_environment import close, explain, make_environment, opened
from metabonk.games.gym_observation import FrameStack, Observer, own_observer, vector_observer
from metabonk.games.gym_results import Renderer, Tic, read_bytes, read_reset, read_step
from metabonk.games.interface import EnvInterface, frame_observer
from metabonk.games.preprocessing import ObservationSpec, letterbox, observe
from metabonk.settings.env_args import EnvArgs

log = logging.getLogger(__name__)

DEFAULT_SPEC = ObservationSpec(84, 84)
"""Size of rendered frames, as in Mnih et al. 2015."""

DEFAULT_STACK = 4
"""Images that the policy sees at once, as in Mnih et al. 2015: a single one shows no motion."""

DEFAULT_TICS_PER_S = 30.0
MAX_TICS_PER_S = 240.0
"""Beyond that, ``render_fps`` is taken for a mistake, as it is below 1."""

FIRST_FRAME_STEPS = 10
"""Steps within which an environment has to render its first frame."""

NO_ARGUMENTS: EnvArgs = {}


class View(NamedTuple):
    """The policy's view of an environment.

    Attributes:
        source: the environment's own observation as a vector; rendered frames; or, for ``auto``,
            its own observation if that is an image or a vector, else rendered frames.
        spec: of images; None: see ``own_observer`` and ``DEFAULT_SPEC``.
        frame_stack: images at once; 0: four of an environment that doesn't stack any itself.
    """

    source: Literal["auto", "pixels", "vector"] = "auto"
    spec: ObservationSpec | None = None
    frame_stack: int = 0


DEFAULT_VIEW = View()


def describe_gym(
    name: str, view: View = DEFAULT_VIEW, arguments: EnvArgs = NO_ARGUMENTS
) -> GameDescription:
    """Describe an environment; it is created and closed at once.

    Args:
        name: see ``GymGame``.
        view: see ``GymGame``.
        arguments: see ``GymGame``.

    Raises:
        UnknownGame: no such id is registered.
        GameStartError: it can't be created, renders no ``rgb_array``, or has unsupported spaces.
    """
    with opened(name, arguments) as environment:
        return _describe(name, environment, view)[0]


def gym_interface(
    name: str, view: View = DEFAULT_VIEW, arguments: EnvArgs = NO_ARGUMENTS
) -> EnvInterface:
    """Return the interface to an environment, which is created and closed at once.

    See ``describe_gym``. Where the policy sees drawn frames, it takes what ``render()`` returns.
    """
    with opened(name, arguments) as environment:
        description, actions, observer = _describe(name, environment, view)
    observe_own = observer.observe if observer else frame_observer(view.spec or DEFAULT_SPEC)
    return EnvInterface(description, observe_own, _depth(view, observer), actions)


class GymGame(Game):
    """A Gymnasium environment; each step is one tic, so one frame.

    It is rendered for viewers, and for the policy where that observes rendered frames.

    Args:
        name: Gymnasium id; ``module:id`` imports the module first.
        view: what the policy sees.
        arguments: for the environment's constructor.
        shown: False: it is not rendered until a frame is needed, which may be never.

    Raises:
        UnknownGame: no such id is registered.
        GameStartError: it can't be created or started, or is not supported.
    """

    def __init__(
        self,
        name: str,
        *,
        view: View = DEFAULT_VIEW,
        arguments: EnvArgs = NO_ARGUMENTS,
        shown: bool = True,
    ) -> None:
        self._name = name
        environment = make_environment(name, arguments)
        self._environment: gymnasium.Env[Any, Any] | None = environment
        self._renderer = Renderer(environment)
        self._playing = False
        try:
            description, self._actions, self._observer = _describe(name, environment, view)
            super().__init__(description)
            self._spec = view.spec or DEFAULT_SPEC
            self._stack = FrameStack(_depth(view, self._observer))
            self._render_size: tuple[int, int] | None = None
            self._next_render_size: tuple[int, int] | None = None
            self._rendered: Frame | None = None
            self._own_size = (2, 2)
            if shown:
                self._require_frame(environment)
        except GameError as error:
            self.close()
            raise GameStartError(str(error)) from None

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height of the frames for viewers, pixels."""
        if self._render_size is not None:
            return self._render_size
        return self._own_size

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        """Fit frames into ``size`` from the next ``reset`` on; None: as rendered."""
        self._next_render_size = size

    def carried_state(self) -> bytes:
        """Return what the environment's ``get_carried_state`` returns; b"" where it has none."""
        get = getattr(self._running_environment().unwrapped, "get_carried_state", None)
        if get is None:
            return b""
        with self._guarded("get_carried_state"):
            return read_bytes(get(), "get_carried_state")

    def restore_carried_state(self, state: bytes) -> None:
        """Pass the state to the environment's ``set_carried_state``, where it has one."""
        restore = getattr(self._running_environment().unwrapped, "set_carried_state", None)
        if restore is None:
            super().restore_carried_state(state)
        else:
            with self._guarded("set_carried_state"):
                restore(state)

    def reset(self, seed: int) -> Observation:
        """Start the next episode."""
        self._render_size = self._next_render_size
        own = self._begin(seed)
        self._playing = True
        self._stack.reset()
        return self._observe(own)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Take a step of the environment, and render it at most once."""
        self._require_episode()
        tic = self._tic(self._actions.to_env(action))
        observation = self._observe(tic.own)
        if on_frame is not None:
            on_frame(self.frame)
        return Transition(observation, tic.reward, tic.terminated, tic.truncated)

    def frame(self) -> Frame:
        """Return the newest frame, fitted into the viewers' size."""
        rendered = self._render() if self._rendered is None else self._rendered
        if self._render_size is None:
            return rendered
        return Frame(letterbox(rendered.pixels, *self._render_size), rendered.captured_at)

    def close(self) -> None:
        """Close the environment."""
        environment, self._environment = self._environment, None
        self._playing = False
        if environment is not None:
            close(self._name, environment)

    def _require_frame(self, environment: gymnasium.Env[Any, Any]) -> None:
        """Begin an episode, and take steps until there is a frame: some render none at first."""
        self.reset(0)
        environment.action_space.seed(0)
        for _ in range(FIRST_FRAME_STEPS):
            self.frame()
            if self._renderer.has_rendered:
                return
            if not self._playing:
                self.reset(0)
            with self._guarded("step"):
                action = environment.action_space.sample()
            self._tic(action)
        raise self._broke(
            f"render() returned nothing after reset() and {FIRST_FRAME_STEPS} steps, and viewers "
            "need frames"
        )

    def _begin(self, seed: int | None) -> Any:
        """Reset the environment, which without a seed continues; return its observation."""
        environment = self._running_environment()
        self._rendered = None
        with self._guarded("reset"):
            own, _ = read_reset(environment.reset(seed=seed))
        return own

    def _tic(self, action: Any) -> Tic:
        """Step the environment once, by an action of its own."""
        environment = self._running_environment()
        self._rendered = None
        with self._guarded("step"):
            tic = read_step(environment.step(action))
        self._playing = not (tic.terminated or tic.truncated)
        return tic

    def _observe(self, own: Any) -> Observation:
        if self._observer is None:
            return self._stack.push(observe(self._render(), self._spec))
        with self._guarded("observation"):
            observation = self._observer.observe(own)
        if not np.isfinite(observation).all():
            raise self._broke("its observation has values that are not finite")
        return self._stack.push(observation)

    def _render(self) -> Frame:
        self._running_environment()
        with self._guarded("render"):
            pixels = self._renderer.render()
        self._rendered = Frame(pixels, time.monotonic())
        self._own_size = self._rendered.width, self._rendered.height
        return self._rendered

    def _require_episode(self) -> None:
        if not self._playing:
            raise GameError(
                f"the episode of {self.id} has ended; call reset() before the next step"
            )

    def _running_environment(self) -> gymnasium.Env[Any, Any]:
        if self._environment is None:
            raise GameError(f"{self.id} is closed")
        return self._environment

    @contextmanager
    def _guarded(self, call: str) -> Iterator[None]:
        """Turn whatever the environment raises into a ``GameError``."""
        try:
            yield
        except Exception as error:  # Other people's code may raise anything.
            log.error("%s broke in %s", self.id, call, exc_info=error)
            raise self._broke(explain(error)) from None

    def _broke(self, how: str) -> GameError:
        self._playing = False
        return GameError(f"{self.id} broke: {how}")


def _describe(
    name: str, environment: gymnasium.Env[Any, Any], view: View
) -> tuple[GameDescription, Actions, Observer | None]:
    game = f"gym:{name}"
    actions = make_actions(game, environment)
    observer = _make_observer(game, environment.observation_space, view)
    shape = (view.spec or DEFAULT_SPEC).shape if observer is None else observer.shape
    if len(shape) == 3:
        shape = (*shape[:2], shape[2] * _depth(view, observer))
    description = GameDescription(
        id=game,
        observation_shape=shape,
        action_names=actions.names,
        action_kind=actions.kind,
        action_sizes=actions.sizes,
        tics_per_s=_tics_per_s(environment),
        in_process=True,
    )
    return description, actions, observer


def _tics_per_s(environment: gymnasium.Env[Any, Any]) -> float:
    pace = environment.metadata.get("render_fps")
    if isinstance(pace, int | float | np.number) and 1 <= pace <= MAX_TICS_PER_S:
        return float(pace)
    return DEFAULT_TICS_PER_S


def _make_observer(game: str, space: gymnasium.Space[Any], view: View) -> Observer | None:
    """Return how the policy observes the environment's own observation; None: frames instead."""
    match view.source:
        case "auto":
            observer = own_observer(game, space, view.spec)
            if observer is None:
                log.info("%s: the policy sees drawn frames, as it can't observe %s", game, space)
            return observer
        case "vector":
            return vector_observer(game, space)
    return None


def _depth(view: View, observer: Observer | None) -> int:
    """Return how many images the policy sees at once; 1 for vectors."""
    if observer is None or observer.stackable:
        return view.frame_stack or DEFAULT_STACK
    return view.frame_stack or 1 if len(observer.shape) == 3 else 1
