"""Atari 2600 games, played as in the literature.

No-op starts, frame skip with the maximum of the last two screens, clipped rewards and the loss of
a life as the end of an episode for learning are those of Mnih et al. 2015; sticky actions are those
of Machado et al. 2018 ("Revisiting the Arcade Learning Environment"). Every skipped tic is drawn
for viewers, which is why no wrapper that skips frames is used.
"""

import dataclasses
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from metabonk.errors import GameStartError
from metabonk.games.game import FrameSink, GameDescription, Transition
from metabonk.games.gym import (
    DEFAULT_VIEW,
    NO_ARGUMENTS,
    GymGame,
    View,
    describe_gym,
    gym_interface,
)
from metabonk.games.gym_observation import own_observer
from metabonk.games.interface import EnvInterface
from metabonk.games.preprocessing import ObservationSpec
from metabonk.settings.env_args import EnvArgs

PREFIX, MODULE = "ALE/", "ale_py"

TICS_PER_S = 60.0
MAX_NOOPS = 30
"""Longest no-op start, tics."""

STICKINESS = "repeat_action_probability"


def is_atari(name: str) -> bool:
    """Tell whether the Arcade Learning Environment has the environment of this id."""
    module, _, registered = name.rpartition(":")
    return module == MODULE or registered.startswith(PREFIX)


def describe_atari(
    name: str, view: View = DEFAULT_VIEW, arguments: EnvArgs = NO_ARGUMENTS
) -> GameDescription:
    """Describe a game; see ``describe_gym`` and ``AtariGame``."""
    return _at_its_pace(describe_gym(name, _view(view, arguments), _arguments(name, arguments)))


def atari_interface(
    name: str, view: View = DEFAULT_VIEW, arguments: EnvArgs = NO_ARGUMENTS
) -> EnvInterface:
    """Return the interface to a game in Gymnasium's ``AtariPreprocessing``; see ``gym_interface``.

    It takes screens of the policy's size, ``H×W`` uint8, or ``H×W×3`` where the policy sees color.
    """
    interface = gym_interface(name, _view(view, arguments), _arguments(name, arguments))
    match interface.description.observation_shape:
        case (height, width, channels):
            colors = (3,) if channels == 3 * interface.frame_stack else ()
            observer = own_observer(
                interface.description.id,
                spaces.Box(0, 255, (height, width, *colors), np.uint8),
                ObservationSpec(width, height),
            )
            assert observer is not None, "an image"
            interface = dataclasses.replace(interface, observe=observer.observe)
    return dataclasses.replace(interface, description=_at_its_pace(interface.description))


class AtariGame(GymGame):
    """A game of the Arcade Learning Environment (ALE).

    The policy observes the maximum of the last two screens, in grayscale; with ``obs_type="rgb"``
    in color, with ``"ram"`` the console's memory. With a probability of
    ``repeat_action_probability``, a tic repeats the action before it; where the arguments don't say
    with which, the id does. That happens here, since ALE can be seeded only by loading the game
    anew, which takes as long as 300 steps. Seed and actions alone decide an episode.

    Args:
        name: see ``GymGame``.
        frame_skip: tics that an action is held.
        view: what the policy sees.
        arguments: for the environment's constructor.
        shown: see ``GymGame``.

    Raises:
        UnknownGame: there is no such game.
        GameStartError: it can't be created or started.
    """

    def __init__(
        self,
        name: str,
        *,
        frame_skip: int,
        view: View = DEFAULT_VIEW,
        arguments: EnvArgs = NO_ARGUMENTS,
        shown: bool = True,
    ) -> None:
        self._frame_skip = frame_skip
        given = arguments.get(STICKINESS)
        self._given_stickiness = float(given) if isinstance(given, int | float) else None
        self._lives = 0
        super().__init__(
            name,
            view=_view(view, arguments),
            arguments=_arguments(name, arguments),
            shown=shown,
        )
        self.description = _at_its_pace(self.description)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Hold an action; where that costs a life, begin the next one."""
        self._require_episode()
        held = self._hold(self._actions.to_env(action), on_frame)
        reward, tics = held.reward, held.tics
        life_lost = self._playing and held.lives < self._lives
        if life_lost and self._console.fire is not None:
            held = self._hold(self._console.fire, on_frame)
            reward, tics = reward + held.reward, tics + held.tics
        self._lives = held.lives
        return Transition(
            self._observe(held.own),
            reward,
            held.terminated,
            held.truncated,
            shaping=float(np.sign(reward)) - reward,
            life_lost=life_lost and self._playing,
            tics=tics,
        )

    def _begin(self, seed: int | None) -> Any:
        """Start a game by up to 30 tics without an action, and by firing where that is one."""
        self._random = np.random.default_rng(seed)
        self._pressed = noop = self._console.noop
        self._running_environment().unwrapped.restore_state(self._beginning)  # type: ignore[attr-defined]
        super()._begin(None)
        for _ in range(self._random.integers(1, MAX_NOOPS, endpoint=True)):
            tic = self._tic(noop)
            if not self._playing:
                super()._begin(None)
        held = _Held(tic.own, 0.0, tic.terminated, tic.truncated, tic.info["lives"], 0)
        if self._console.fire is not None:
            held = self._hold(self._console.fire, None)
        self._lives = held.lives
        return held.own

    def _hold(self, action: Any, on_frame: FrameSink | None) -> "_Held":
        reward, tics, screens = 0.0, 0, list[Any]()
        while tics < self._frame_skip:
            tics += 1
            if self._random.random() >= self._console.stickiness:
                self._pressed = action
            tic = self._tic(self._pressed)
            reward += tic.reward
            screens = [*screens[-1:], tic.own]
            if on_frame is not None:
                on_frame(self.frame)
            if not self._playing:
                break
        # The console draws some things in every other frame only.
        own = np.maximum(screens[0], screens[-1]) if self._console.has_screen else tic.own
        return _Held(own, reward, tic.terminated, tic.truncated, tic.info["lives"], tics)

    @cached_property
    def _beginning(self) -> Any:
        """The emulator's state before every episode: what a game does may depend on earlier ones.

        Seeded, since ALE's own random numbers are a part of it.
        """
        super()._begin(0)
        return self._running_environment().unwrapped.clone_state(include_rng=True)  # type: ignore[attr-defined]

    @cached_property
    def _console(self) -> "_Console":
        environment = self._running_environment()
        meanings = environment.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        assert environment.spec is not None, "made by its id"
        registered = gymnasium.spec(environment.spec.id).kwargs.get(STICKINESS, 0.0)
        given = self._given_stickiness
        is_discrete = isinstance(environment.action_space, spaces.Discrete)
        return _Console(
            noop=0 if is_discrete else np.zeros(3, np.float32),
            fire=(1 if is_discrete else np.array([0, 0, 1], np.float32))
            if meanings[1:2] == ["FIRE"]
            else None,
            stickiness=registered if given is None else given,
            has_screen=len(environment.observation_space.shape or ()) > 1,
        )


class _Held(NamedTuple):
    """Outcome of an action that was held; see ``Tic``."""

    own: Any
    reward: float
    terminated: bool
    truncated: bool
    lives: int
    tics: int


class _Console(NamedTuple):
    """Properties of a game.

    Attributes:
        noop: action that does nothing.
        fire: action that starts many games; None where it is none (as in Stable-Baselines3).
        stickiness: probability with which a tic repeats the action before it.
        has_screen: the environment observes its screen.
    """

    noop: Any
    fire: Any
    stickiness: float
    has_screen: bool


def _arguments(name: str, arguments: EnvArgs) -> EnvArgs:
    """Return the arguments of an environment of single tics without sticky actions."""
    if "frameskip" in arguments:
        raise GameStartError(
            f"gym:{name} takes no frameskip, since skipped frames are drawn too: set "
            "learning.frame_skip (METABONK_LEARNING_FRAME_SKIP) instead"
        )
    stickiness = arguments.get(STICKINESS, 0.0)
    if not isinstance(stickiness, int | float) or not 0 <= stickiness <= 1:
        raise GameStartError(f"{STICKINESS} of gym:{name} is {stickiness!r}, but must be 0 … 1")
    return {"obs_type": "grayscale", **arguments, "frameskip": 1, STICKINESS: 0.0}


def _view(view: View, arguments: EnvArgs) -> View:
    """Return the view of what ALE observes, which are its drawn frames already, but for ``ram``."""
    is_screen = arguments.get("obs_type") != "ram"
    return view._replace(source="auto") if is_screen and view.source == "pixels" else view


def _at_its_pace(description: GameDescription) -> GameDescription:
    return dataclasses.replace(description, tics_per_s=TICS_PER_S)
