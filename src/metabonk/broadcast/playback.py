"""Which episode of a trainer is shown, and what is shown in each tic of its game."""

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.announcement import Speed
from metabonk.broadcast.records import EpisodeStart, Record, Step, Thought
from metabonk.broadcast.shadow import Shadow

MAX_BACKLOG = 200_000
"""Steps of an episode that are kept until they are shown, which take 100 MB at most for most
environments. In longer ones, a trainer that is far ahead leaves its viewers behind."""


@dataclass(frozen=True)
class Shown:
    """Content of a tic that is shown.

    Attributes:
        pixels: ``H×W×3`` uint8; None: not drawn.
        episode: number in the trainer.
        steps: of the episode so far; 0: it begins.
        total_reward: of the episode so far.
        thoughts: of the policy before the step.
        is_last: the episode ends with it.
    """

    pixels: NDArray[np.uint8] | None
    episode: int
    steps: int
    total_reward: float
    thoughts: tuple[Thought, ...] = ()
    is_last: bool = False


@dataclass
class _Track:
    """An episode as far as it came, without what was shown already."""

    start: EpisodeStart
    steps: deque[tuple[tuple[Thought, ...], Step]] = field(default_factory=deque)
    is_whole: bool = True
    """False: steps are missing after those that are here."""
    is_over: bool = False


class Playback:
    """Shows a trainer's episodes by its shadow, one tic at a call.

    A whole episode after the other is shown; of those that pass meanwhile, the newest is next. With
    the speed ``now``, a tic shows the newest step, and the shadow takes those before it unseen.

    Args:
        shadow: of the environment.
        speed: see above.
    """

    def __init__(self, shadow: Shadow, speed: Speed = "game") -> None:
        self._shadow = shadow
        self._is_now = speed == "now"
        self._shown: _Track | None = None
        self._newest: _Track | None = None
        self._thoughts: tuple[Thought, ...] = ()
        self._last = Shown(None, 0, 0, 0.0)

    @property
    def wants_records(self) -> bool:
        """True if the trainer is to be asked for more: not while a whole episode waits its turn.

        A trainer that is faster than the game is so spared most of its episodes.
        """
        newest = self._newest
        is_waiting = newest is not None and newest is not self._shown and newest.is_over
        return self._is_now or not (is_waiting and self._can_show(newest))

    def add(self, records: Iterable[Record], *, has_gap: bool = False) -> None:
        """Add what came from the ring.

        Args:
            records: in their order.
            has_gap: some before them were missed, so the episode they belong to is not whole.
        """
        if has_gap and self._newest is not None:
            self._newest.is_whole, self._thoughts = False, ()
        for record in records:
            match record:
                case EpisodeStart():
                    if self._newest is not None:
                        self._newest.is_over = True
                    self._newest, self._thoughts = _Track(record), ()
                case Thought():
                    self._thoughts = (*self._thoughts, record)
                case Step():
                    thoughts, self._thoughts = self._thoughts, ()
                    self._add_step(thoughts, record)

    def tic(self, *, draw: bool = True) -> Shown | None:
        """Show what comes next.

        Args:
            draw: return pixels; undrawn tics are cheaper.

        Returns:
            None: nothing new came from the trainer.

        Raises:
            EpisodeDiffers: the shadow does not come out as the trainer.
            ReplayError: the shadow failed, or the episode can't be repeated.
            WireError: a record is damaged.
        """
        if self._is_now and self._newest is not self._shown and self._can_show(self._newest):
            self._shown = None
        if self._shown is None or (not self._shown.steps and self._has_ended(self._shown)):
            return self._begin(draw)
        if not self._shown.steps:
            return None
        while self._is_now and len(self._shown.steps) > 1:
            self._step(self._shown)
        self._step(self._shown)
        return self._with_pixels(draw)

    def _add_step(self, thoughts: tuple[Thought, ...], step: Step) -> None:
        track = self._newest
        if track is None or not track.is_whole:
            return
        if len(track.steps) == MAX_BACKLOG:
            track.is_whole = False
            return
        track.steps.append((thoughts, step))
        track.is_over = step.is_last

    def _begin(self, draw: bool) -> Shown | None:
        if self._newest is self._shown or not self._can_show(self._newest):
            return None
        assert self._newest is not None
        self._shown = self._newest
        self._shadow.begin(self._shown.start)
        self._last = Shown(None, self._shown.start.number, 0, 0.0)
        return self._with_pixels(draw)

    def _step(self, track: _Track) -> None:
        thoughts, step = track.steps.popleft()
        self._shadow.step(step)
        self._last = Shown(
            None,
            track.start.number,
            self._last.steps + 1,
            self._last.total_reward + step.reward,
            thoughts,
            step.is_last,
        )

    def _with_pixels(self, draw: bool) -> Shown:
        return dataclasses.replace(self._last, pixels=self._shadow.draw()) if draw else self._last

    def _can_show(self, track: _Track | None) -> bool:
        return track is not None and (track.is_whole or bool(track.steps))

    def _has_ended(self, track: _Track) -> bool:
        return track.is_over or not track.is_whole
