"""Doom, through ViZDoom's API."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import vizdoom as vzd

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games.doom_engine import ENGINE_ERRORS, Engine, nearest_size, start_engine
from metabonk.games.doom_scenarios import REWARD_SCALE, SHAPING, load_scenario
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.preprocessing import ObservationFn, ObservationSpec, observe

DEFAULT_SPEC = ObservationSpec(128, 72)
"""As in Sample Factory's ViZDoom recipe."""

TICS_PER_S = 35.0
"""Pace of the original engine (``TICRATE`` in its source)."""

MAX_EPISODES = 10_000
"""Episodes before an engine is replaced: it leaks about 300 bytes in each."""


def describe_doom(name: str, spec: ObservationSpec = DEFAULT_SPEC) -> GameDescription:
    """Describe a scenario without starting an engine.

    Raises:
        GameError: ViZDoom can't read it.
    """
    return GameDescription(
        id=f"doom:{name}",
        observation_shape=spec.shape,
        action_names=load_scenario(name).action_names,
        reward_scale=REWARD_SCALE.get(name, 1.0),
        tics_per_s=TICS_PER_S,
    )


class Doom(Game):
    """A scenario, played by one engine process.

    It runs as fast as it is stepped; whoever shows it live paces it.

    Args:
        name: of the scenario, see ``scenario_names``.
        frame_skip: tics that an action is held.
        spec: of the observation.
        observation_fn: makes the observations of frames.
        render_size: to begin with, see ``set_render_size``; spares the start of a second engine.

    Raises:
        GameError: the engine does not start.
    """

    def __init__(
        self,
        name: str,
        *,
        frame_skip: int,
        spec: ObservationSpec = DEFAULT_SPEC,
        observation_fn: ObservationFn = observe,
        render_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(describe_doom(name, spec))
        self._spec = spec
        self._observation_fn = observation_fn
        self._scenario = load_scenario(name)
        self._actions = [[float(down) for down in action] for action in self._scenario.actions]
        self._frame_skip = frame_skip
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="doom-engine")
        self._size = self._next_size = nearest_size(render_size)
        self._engine: Engine | None = start_engine(self._scenario, self._size)
        self._next: Future[Engine] | None = None
        self._episodes = 0
        self._shaping = {
            getattr(vzd.GameVariable, variable): worth
            for variable, worth in SHAPING.get(name, {}).items()
        }
        self._last_potential = 0.0
        self._tics = 0
        self._playing = False
        self._frame = Frame(np.zeros((*self._size[::-1], 3), np.uint8), time.monotonic())
        self._observation: Observation = np.zeros(self.observation_shape, np.uint8)

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height that are drawn now, pixels."""
        return self._size

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        """Start an engine of the nearest 16:9 size in the background; ``reset`` switches to it."""
        wanted = nearest_size(size)
        if wanted == self._next_size:
            return
        self._discard_next()
        self._next_size = wanted
        if wanted != self._size:
            self._next = self._starter.submit(start_engine, self._scenario, wanted)

    def reset(self, seed: int) -> Observation:
        """Start the next episode, at the size that was last requested.

        Args:
            seed: of the episode, 0 ≤ seed < 2³¹.

        Raises:
            GameError: the engine failed, or the one of the new size does not start.
        """
        if self._next is None and self._episodes >= MAX_EPISODES:
            self._next = self._starter.submit(start_engine, self._scenario, self._size)
        # Wait for an engine of a new size, but not for a replacement of the same size.
        if self._next is not None and (self._next_size != self._size or self._next.done()):
            self._switch_engine(self._next)
        engine = self._running_engine()
        try:
            engine.set_seed(seed)
            engine.new_episode()
        except ENGINE_ERRORS as error:
            raise self._failed(error) from None
        self._episodes += 1
        self._tics = 0
        self._playing = True
        self._observe(_frame_of(engine))
        self._last_potential = self._potential(engine)
        return self._observation

    def step(self, action: int, on_frame: FrameSink | None = None) -> Transition:
        """Hold an action for ``frame_skip`` tics, or fewer if the episode ends."""
        if not self._playing:
            raise GameError(
                f"the episode of {self.id} has ended; call reset() before the next step"
            )
        engine = self._running_engine()
        tics = self._frame_skip
        if limit := self._scenario.timeout_tics:
            tics = min(tics, limit - self._tics)
        drawn: Frame | None = None
        try:
            if on_frame is None:
                reward = engine.make_action(self._actions[action], tics)
            else:
                reward, drawn = self._step_drawn(engine, self._actions[action], tics, on_frame)
            terminated = engine.is_episode_finished()
        except ENGINE_ERRORS as error:
            raise self._failed(error) from None
        self._tics += tics
        truncated = not terminated and self._tics == limit
        self._playing = not (terminated or truncated)
        shaping = 0.0
        if not terminated:
            self._observe(drawn or _frame_of(engine))
            before, self._last_potential = self._last_potential, self._potential(engine)
            shaping = self._last_potential - before
        return Transition(
            self._observation, float(reward), terminated, truncated, shaping, tics=tics
        )

    def frame(self) -> Frame:
        """Return the newest frame."""
        return self._frame

    def close(self) -> None:
        """End the engine, and one that is starting."""
        self._discard_next()
        self._starter.shutdown(wait=True)
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._playing = False

    def _potential(self, engine: Engine) -> float:
        """Return the shaping potential of the current state, in rewards (see ``SHAPING``)."""
        return sum(
            worth * float(engine.get_game_variable(variable))
            for variable, worth in self._shaping.items()
        )

    def _step_drawn(
        self, engine: Engine, buttons: list[float], tics: int, on_frame: FrameSink
    ) -> tuple[float, Frame | None]:
        """Return the reward, and the frame of the last tic if that was drawn."""
        reward, drawn = 0.0, list[Frame]()

        def draw() -> Frame:
            drawn.append(_frame_of(engine))
            return drawn[-1]

        for _ in range(tics):
            drawn.clear()
            reward += engine.make_action(buttons, 1)
            if engine.is_episode_finished():
                break
            on_frame(draw)
        return reward, drawn[-1] if drawn else None

    def _observe(self, drawn: Frame) -> None:
        self._frame = drawn
        self._observation = self._observation_fn(drawn, self._spec)

    def _switch_engine(self, started: Future[Engine]) -> None:
        self._next = None
        wanted, self._next_size = self._next_size, self._size
        successor = started.result()
        self._running_engine().close()
        self._engine = successor
        self._episodes = 0
        self._size = self._next_size = wanted

    def _discard_next(self) -> None:
        if self._next is not None and not self._next.cancel():
            self._next.add_done_callback(_close)
        self._next = None

    def _running_engine(self) -> Engine:
        if self._engine is None:
            raise GameError(f"{self.id} is closed")
        return self._engine

    def _failed(self, error: Exception) -> GameError:
        self._playing = False
        return GameError(f"the Doom engine of {self.id} failed: {error}")


def _frame_of(engine: Engine) -> Frame:
    return Frame(engine.get_state().screen_buffer, time.monotonic())


def _close(started: Future[Engine]) -> None:
    if not started.exception():
        started.result().close()
