"""Desktop games: any Linux program, as its definition says."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metabonk.desktop.catalog import Entry
from metabonk.desktop.engine import Engine, State
from metabonk.desktop.engines import open_engine
from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games.game import (
    ActionKind,
    FrameSink,
    Game,
    GameDescription,
    Observation,
    Transition,
)
from metabonk.games.gym_actions import Actions
from metabonk.games.gym_observation import FrameStack
from metabonk.games.interface import EnvInterface, frame_observer
from metabonk.games.preprocessing import ObservationSpec, letterbox, preprocess, with_action

log = logging.getLogger(__name__)

UNREWARDED_EPISODES = 20
"""Episodes without any reward after which it is said that there is none."""


def default_spec(entry: Entry) -> ObservationSpec:
    """Return the observation that a game's definition asks for."""
    view = entry.definition.view
    return ObservationSpec(*view.of(entry.definition.largest_size), view.grayscale)


def describe_desktop(entry: Entry, spec: ObservationSpec, frame_stack: int = 0) -> GameDescription:
    """Describe a game without starting it; see ``DesktopGame``."""
    definition = entry.definition
    height, width, channels = spec.shape
    return GameDescription(
        id=entry.game_id,
        observation_shape=(
            height,
            width,
            (channels + _sees_action(entry)) * _depth(entry, frame_stack),
        ),
        action_names=tuple(definition.actions),
        reward_scale=definition.reward.scale,
        tics_per_s=float(definition.clock.tics_per_second),
        repeatable=definition.adapter is not None,
    )


def desktop_interface(entry: Entry, spec: ObservationSpec, frame_stack: int = 0) -> EnvInterface:
    """Return the interface to a program: frames in, the names of the keys to be held out."""
    keys = [list(each) for each in entry.definition.actions.values()]
    names = tuple(entry.definition.actions)
    return EnvInterface(
        describe_desktop(entry, spec, frame_stack),
        frame_observer(spec),
        _depth(entry, frame_stack),
        Actions(ActionKind.DISCRETE, names, (), keys.__getitem__),
        sees_action=_sees_action(entry),
    )


class DesktopGame(Game):
    """A program that plays on a display of its own.

    Args:
        entry: its definition.
        spec: of the observation.
        frame_stack: images that the policy sees at once; 0: as its definition says.
        render_size: to begin with, see ``set_render_size``; spares a second start.

    Raises:
        GameStartError: what it needs is missing.
        GameError: the game does not start.
    """

    def __init__(
        self,
        entry: Entry,
        spec: ObservationSpec,
        frame_stack: int = 0,
        *,
        render_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(describe_desktop(entry, spec, frame_stack))
        self._entry = entry
        self._definition = entry.definition
        self._spec = spec
        self._keys = tuple(entry.definition.actions.values())
        self._stack = FrameStack(_depth(entry, frame_stack))
        self._render_size = self._next_render_size = render_size
        # Programs end with the thread that started them; those that play come and go.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="desktop-game")
        self._engine: Engine | None = None
        self._episodes = self._unrewarded = 0
        self._playing = False
        self._start()

    @property
    def source_size(self) -> tuple[int, int]:
        """Width and height of the frames for viewers, pixels."""
        return self._render_size or self._definition.drawn_size(None)

    def set_render_size(self, size: tuple[int, int] | None) -> None:
        """Fit frames into ``size`` from the next ``reset`` on.

        The program starts anew there if it has a better size for that, or another priority.
        """
        self._next_render_size = size

    def reset(self, seed: int) -> Observation:
        """Start the next episode."""
        before, self._render_size = self._render_size, self._next_render_size
        is_worn = self._episodes >= self._definition.episodes_per_start
        if self._engine is None or is_worn or self._way(before) != self._way(self._render_size):
            self._stop()
            self._start()
        engine = self._running_engine()
        try:
            state = engine.reset(seed)
            self._frame = self._draw(engine)
        except GameError:
            self._stop()
            raise
        self._episodes += 1
        self._value, self._tics, self._unchanged_tics = state.value, 0, 0
        self._is_rewarded = False
        self._playing = True
        self._stack.reset()
        self._seen = preprocess(self._frame.pixels, self._spec)
        self._observation = self._stack.push(self._with_action(self._seen, None))
        return self._observation

    def step(self, action: int, on_frame: FrameSink | None = None) -> Transition:
        """Hold an action's keys for a step, or less if the episode ends."""
        if not self._playing:
            raise GameError(
                f"the episode of {self.id} has ended; call reset() before the next step"
            )
        engine = self._running_engine()
        clock, episode = self._definition.clock, self._definition.episode
        limit = round(episode.limit_s * clock.tics_per_second)
        tics = max(1, min(clock.tics_per_step, limit - self._tics))
        try:
            state, drawn = self._move(engine, self._keys[action], tics, on_frame)
            if not state.over:
                self._observe(drawn or self._draw(engine), action, state.tics)
        except GameError:
            self._stop()
            raise
        self._tics += state.tics
        reward, self._value = state.value - self._value, state.value
        self._is_rewarded |= bool(reward)
        stuck = round(episode.stuck_s * clock.tics_per_second)
        is_stuck = 0 < stuck <= self._unchanged_tics
        truncated = not state.over and (self._tics >= limit or is_stuck)
        if state.over or truncated:
            self._end(is_stuck=is_stuck)
        clip = self._definition.reward.clip or float("inf")
        shaping = min(clip, max(-clip, reward)) - reward
        return Transition(
            self._observation, reward, state.over, truncated, shaping, tics=state.tics
        )

    def frame(self) -> Frame:
        """Return the newest frame, fitted into the viewers' size."""
        return self._fit(self._frame)

    def close(self) -> None:
        """End the program and its display."""
        self._stop()
        self._starter.shutdown()

    def _move(
        self, engine: Engine, keys: tuple[str, ...], tics: int, on_frame: FrameSink | None
    ) -> tuple[State, Frame | None]:
        """Hold keys; return the state, and the frame of the last tic if that was drawn."""
        if on_frame is None:
            return engine.step(keys, tics), None
        drawn = list[Frame]()

        def draw() -> Frame:
            drawn.append(self._draw(engine))
            return self._fit(drawn[-1])

        for number in range(1, tics + 1):
            drawn.clear()
            state = engine.step(keys, 1)
            if not state.over:
                on_frame(draw)
            if state.over or number == tics:
                break
        return state._replace(tics=number), drawn[-1] if drawn else None

    def _draw(self, engine: Engine) -> Frame:
        return Frame(engine.draw(), time.monotonic())

    def _fit(self, frame: Frame) -> Frame:
        if self._render_size is None:
            return frame
        return Frame(letterbox(frame.pixels, *self._render_size), frame.captured_at)

    def _observe(self, frame: Frame, action: int, tics: int) -> None:
        self._frame = frame
        before, self._seen = self._seen, preprocess(frame.pixels, self._spec)
        is_changed = not np.array_equal(before, self._seen)
        self._unchanged_tics = 0 if is_changed else self._unchanged_tics + tics
        self._observation = self._stack.push(self._with_action(self._seen, action))

    def _with_action(self, image: NDArray[np.uint8], action: int | None) -> NDArray[np.uint8]:
        return with_action(image, action, len(self._keys)) if _sees_action(self._entry) else image

    def _end(self, *, is_stuck: bool) -> None:
        self._playing = False
        if is_stuck:
            log.info("%s: nothing has moved for %g s", self.id, self._definition.episode.stuck_s)
        self._unrewarded = 0 if self._is_rewarded else self._unrewarded + 1
        if self._unrewarded == UNREWARDED_EPISODES:
            log.warning(
                "%s: %d episodes without any reward; is %s what is to grow?",
                self.id,
                UNREWARDED_EPISODES,
                self._definition.reward,
            )

    def _way(self, render_size: tuple[int, int] | None) -> tuple[tuple[int, int], bool]:
        """Return how the program runs for viewers: its size, and whether they are any."""
        return self._definition.drawn_size(render_size), render_size is None

    def _start(self) -> None:
        started = self._starter.submit(open_engine, self._entry, self._render_size)
        self._engine = started.result()
        self._episodes = 0

    def _stop(self) -> None:
        engine, self._engine = self._engine, None
        self._playing = False
        if engine is not None:
            engine.close()

    def _running_engine(self) -> Engine:
        if self._engine is None:
            raise GameError(f"{self.id} is closed")
        return self._engine


def _sees_action(entry: Entry) -> bool:
    """Tell whether the policy sees its last action, whose effect a game in real time shows late."""
    return entry.definition.clock.kind == "real"


def _depth(entry: Entry, frame_stack: int) -> int:
    return frame_stack or entry.definition.view.frame_stack
