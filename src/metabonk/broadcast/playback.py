"""Which episode of a trainer is shown, and what is shown in each tic of its game."""

import dataclasses
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.announcement import Speed
from metabonk.broadcast.records import EpisodeStart, Record, Step, Thought
from metabonk.broadcast.shadow import Shadow

MAX_BACKLOG = 200_000
"""Steps of an episode that are kept until they are shown, which take 100 MB at most for most
environments. In longer ones, a trainer that is far ahead leaves its viewers behind."""


Taken: TypeAlias = tuple[tuple[Thought, ...], Step]
"""A step, and the policy's thoughts before it."""


@dataclass(frozen=True)
class Shown:
    """Content of a tic that is shown.

    Attributes:
        pixels: ``H×W×3`` uint8; None: not drawn.
        episode: number in the trainer.
        steps: of the episode so far; 0: it begins.
        total_reward: of the episode so far.
        taken: steps since the tic before: one, or with the speed ``now`` any number.
        is_last: the episode ends with it.
    """

    pixels: NDArray[np.uint8] | None
    episode: int
    steps: int
    total_reward: float
    taken: tuple[Taken, ...] = ()
    is_last: bool = False


@dataclass
class _Track:
    """An episode as far as it came, without what was shown already."""

    start: EpisodeStart
    steps: deque[Taken] = field(default_factory=deque)
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
        self._next: _Track | None = None
        self._arriving: _Track | None = None
        self._thoughts: tuple[Thought, ...] = ()
        self._last = Shown(None, 0, 0, 0.0)

    @property
    def wants_records(self) -> bool:
        """True if the trainer is to be asked for more: not while a whole episode waits its turn.

        A trainer that is faster than the game is so spared most of its episodes.
        """
        return self._is_now or self._next is None

    @property
    def follows(self) -> bool:
        """True if what the trainer does now can be shown, since its episode's start is known."""
        return self._arriving is not None and not self._has_ended(self._arriving)

    def add(self, records: Iterable[Record], *, has_gap: bool = False) -> None:
        """Add what came from the ring.

        Args:
            records: in their order.
            has_gap: some before them were missed, so the episode they belong to is not whole.
        """
        if has_gap and self._arriving is not None:
            self._arriving.is_whole, self._thoughts = False, ()
        for record in records:
            match record:
                case EpisodeStart():
                    self._conclude(record.number)
                    self._arriving, self._thoughts = _Track(record), ()
                case Thought():
                    self._thoughts = (*self._thoughts, record)
                case Step():
                    thoughts, self._thoughts = self._thoughts, ()
                    self._add_step(thoughts, record)

    def stop_recording(self) -> None:
        """Note that the trainer is asked for nothing: what it plays now will have no end."""
        track = self._arriving
        if track is not None and track is not self._shown and not track.is_over:
            self._arriving = None

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
        track = self._shown
        leaves = self._is_now and self._arriving is not track and self._can_show(self._arriving)
        if track is None or leaves or (not track.steps and self._has_ended(track)):
            return self._begin(draw)
        if not track.steps:
            return None
        count = len(track.steps) if self._is_now else 1
        taken = tuple(self._step(track) for _ in range(count))
        (*_, (_, newest)) = taken
        self._last = Shown(
            None,
            track.start.number,
            self._last.steps + count,
            self._last.total_reward + math.fsum(step.reward for _, step in taken),
            taken,
            newest.is_last,
        )
        return self._with_pixels(draw)

    def draw(self) -> NDArray[np.uint8]:
        """Return the picture of what was shown last, ``H×W×3`` uint8.

        Raises:
            ReplayError: it can't be drawn.
        """
        return self._shadow.draw()

    def _add_step(self, thoughts: tuple[Thought, ...], step: Step) -> None:
        track = self._arriving
        if track is None or self._has_ended(track):
            return
        if len(track.steps) == MAX_BACKLOG:
            track.is_whole = False
            return
        track.steps.append((thoughts, step))
        if step.is_last:
            self._conclude(track.start.number + 1)

    def _conclude(self, following: int) -> None:
        """Note that the trainer's episode has ended; it is next, unless it is shown already.

        Args:
            following: number of the episode after it; another one than the next: it was not
                recorded to its end.
        """
        track = self._arriving
        if track is not None and not track.is_over:
            track.is_whole = track.is_whole and following == track.start.number + 1
            track.is_over = True
            if track is not self._shown and track.is_whole:
                self._next = track

    def _begin(self, draw: bool) -> Shown | None:
        track = self._arriving if self._is_now or self._next is None else self._next
        if track is None or track is self._shown or not self._can_show(track):
            return None
        self._shown, self._next = track, None
        self._shadow.begin(track.start)
        self._last = Shown(None, track.start.number, 0, 0.0)
        return self._with_pixels(draw)

    def _step(self, track: _Track) -> Taken:
        taken = track.steps.popleft()
        self._shadow.step(taken[1])
        return taken

    def _with_pixels(self, draw: bool) -> Shown:
        return dataclasses.replace(self._last, pixels=self.draw()) if draw else self._last

    def _can_show(self, track: _Track | None) -> bool:
        return track is not None and (track.is_whole or bool(track.steps))

    def _has_ended(self, track: _Track) -> bool:
        return track.is_over or not track.is_whole
