"""Doom, through ViZDoom's own interface."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import vizdoom as vzd

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games.doom_engine import ENGINE_ERRORS, SMALLEST, nearest_size, start_engine
from metabonk.games.doom_scenarios import REWARD_SCALE, WORTH, load_scenario
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.preprocessing import ObservationFn, ObservationSpec, observe

OWN_VIEW = ObservationSpec(128, 72)
"""As in Sample Factory's ViZDoom recipe."""

MOST_EPISODES = 10_000
"""Of one engine, since it keeps some 300 bytes of each; then another takes its place."""


def describe_doom(name: str, view: ObservationSpec = OWN_VIEW) -> GameDescription:
    """What is known of a scenario, seen in this way, before an engine runs.

    Raises:
        GameError: ViZDoom can't read it.
    """
    return GameDescription(
        id=f"doom:{name}",
        observation_shape=view.shape,
        action_names=load_scenario(name).action_names,
        reward_scale=REWARD_SCALE.get(name, 1.0),
    )


class Doom(Game):
    """One scenario, played by one engine process.

    Doom runs 35 tics a second when it is paced; here it runs as fast as it is asked.

    Args:
        name: of the scenario, see ``scenario_names``.
        seed: of the episodes.
        frame_skip: tics that a decision is held.
        view: of the policy.
        eye: makes observations of frames.

    Raises:
        GameError: the engine does not start.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int,
        frame_skip: int,
        view: ObservationSpec = OWN_VIEW,
        eye: ObservationFn = observe,
    ) -> None:
        super().__init__(describe_doom(name, view))
        self._view = view
        self._eye = eye
        self._scenario = load_scenario(name)
        self._actions = [[float(down) for down in action] for action in self._scenario.actions]
        self._seeds = np.random.default_rng(seed)
        self._frame_skip = frame_skip
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="doom-engine")
        self._engine: vzd.DoomGame | None = start_engine(self._scenario, SMALLEST)
        self._size = self._next_size = SMALLEST
        self._next: Future[vzd.DoomGame] | None = None
        self._episodes = 0
        self._worth = {
            getattr(vzd.GameVariable, variable): worth
            for variable, worth in WORTH.get(name, {}).items()
        }
        self._owned = 0.0
        self._tics = 0
        self._playing = False
        self._frame = Frame(np.zeros((SMALLEST[1], SMALLEST[0], 3), np.uint8), time.monotonic())
        self._observation: Observation = np.zeros(self.observation_shape, np.uint8)

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height that are drawn now, pixels."""
        return self._size

    def spectate(self, size: tuple[int, int] | None) -> None:
        """Starts an engine of the nearest 16:9 size in the background; ``reset`` changes over."""
        wanted = nearest_size(size)
        if wanted == self._next_size:
            return
        self._discard_next()
        self._next_size = wanted
        if wanted != self._size:
            self._next = self._starter.submit(start_engine, self._scenario, wanted)

    def reset(self) -> Observation:
        """Starts the next episode, at the size that was last asked for.

        Raises:
            GameError: the engine broke, or the one of the new size does not start.
        """
        if self._next is None and self._episodes >= MOST_EPISODES:
            self._next = self._starter.submit(start_engine, self._scenario, self._size)
        # A new size is worth waiting for; a new engine of the same one is not.
        if self._next is not None and (self._next_size != self._size or self._next.done()):
            self._change_over(self._next)
        engine = self._running_engine()
        try:
            engine.set_seed(int(self._seeds.integers(2**31)))
            engine.new_episode()
        except ENGINE_ERRORS as error:
            raise self._broken(error) from None
        self._episodes += 1
        self._tics = 0
        self._playing = True
        self._look(_drawn(engine))
        self._owned = self._appraise(engine)
        return self._observation

    def step(self, action: int, on_frame: FrameSink | None = None) -> Transition:
        """Holds an action for ``frame_skip`` tics, fewer where the episode ends."""
        if not self._playing:
            raise GameError(f"the episode of {self.id} has ended: reset it before the next step")
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
            raise self._broken(error) from None
        self._tics += tics
        truncated = not terminated and self._tics == limit
        self._playing = not (terminated or truncated)
        shaping = 0.0
        if not terminated:
            self._look(drawn or _drawn(engine))
            before, self._owned = self._owned, self._appraise(engine)
            shaping = self._owned - before
        return Transition(self._observation, float(reward), terminated, truncated, shaping)

    def frame(self) -> Frame:
        """Return the newest frame."""
        return self._frame

    def close(self) -> None:
        """Ends the engine, and one that is being started."""
        self._discard_next()
        self._starter.shutdown(wait=True)
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._playing = False

    def _appraise(self, engine: vzd.DoomGame) -> float:
        """What the player has, in rewards."""
        return sum(
            worth * float(engine.get_game_variable(variable))
            for variable, worth in self._worth.items()
        )

    def _step_drawn(
        self, engine: vzd.DoomGame, buttons: list[float], tics: int, on_frame: FrameSink
    ) -> tuple[float, Frame | None]:
        """The reward, and what was drawn last; None where the episode ended with the first tic."""
        reward, drawn = 0.0, None
        for _ in range(tics):
            reward += engine.make_action(buttons, 1)
            if engine.is_episode_finished():
                break
            drawn = _drawn(engine)
            on_frame(drawn)
        return reward, drawn

    def _look(self, drawn: Frame) -> None:
        self._frame = drawn
        self._observation = self._eye(drawn, self._view)

    def _change_over(self, started: Future[vzd.DoomGame]) -> None:
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

    def _running_engine(self) -> vzd.DoomGame:
        if self._engine is None:
            raise GameError(f"{self.id} has been closed")
        return self._engine

    def _broken(self, error: Exception) -> GameError:
        self._playing = False
        return GameError(f"the Doom engine of {self.id} broke: {error}")


def _drawn(engine: vzd.DoomGame) -> Frame:
    return Frame(engine.get_state().screen_buffer, time.monotonic())


def _close(started: Future[vzd.DoomGame]) -> None:
    if not started.exception():
        started.result().close()
