"""The episode of a guest that is shown, from what its ring says of it."""

import math
import time
from typing import Any

import numpy as np

from metabonk.broadcast import records
from metabonk.broadcast.records import EpisodeStart, Progress, Record, Step
from metabonk.messages.base import LARGEST_NUMBER, MAX_SHORT_TEXT
from metabonk.messages.streams import Thought
from metabonk.printable import printable

MAX_PROBABILITIES = 1000
MAX_THOUGHTS = 64
"""Thoughts that wait for a frame."""


class ShownEpisode:
    """Steps, return and thoughts of what is shown.

    Args:
        has_episodes: false for a stream of pictures, which counts from when it is first watched.

    Attributes:
        number: episodes that the trainer finished before this one.
        steps: of it so far; None: it began unseen.
        total_reward: of it so far; None: it began unseen.
        last_return: of the last one that was shown to its end.
        steps_shown: of all episodes.
        keeps_thoughts: false while nobody sees them.
    """

    def __init__(self, *, has_episodes: bool) -> None:
        self.number = 0
        self.steps: int | None = None if has_episodes else 0
        self.total_reward: float | None = None if has_episodes else 0.0
        self.last_return: float | None = None
        self.steps_shown = 0
        self.keeps_thoughts = True
        self._has_episodes = has_episodes
        self._said: records.Thought | None = None
        self._thoughts: list[Thought] = []

    def add(self, record: Record) -> None:
        """Take a record into account, in the order of the ring."""
        match record:
            case EpisodeStart():
                self.number, self.steps, self.total_reward = record.number, 0, 0.0
                self._said, self._thoughts = None, []
            case Progress():
                self.number, self.steps = record.number, record.steps
                self.total_reward = number(record.total_reward)
            case records.Thought():
                self._said = record
            case Step():
                self._add_step(record)

    def lose(self) -> None:
        """Note that records were missed, so its steps and its return are not known."""
        if self._has_episodes:
            self.steps = self.total_reward = None
        self._said = None

    def take_thoughts(self) -> tuple[Thought, ...]:
        """Return the thoughts that belong to the next frame."""
        if self._said is not None and not self._has_episodes:
            # A stream's picture may come with a text and without a reward.
            self._think(None, 0.0)
        thoughts, self._thoughts = tuple(self._thoughts), []
        return thoughts

    def _add_step(self, step: Step) -> None:
        self.steps_shown += 1
        if self.steps is None or self.total_reward is None:
            self._said = None
            return
        self.steps += 1
        self.total_reward = number(self.total_reward + step.reward)
        self._think(step.action, step.reward)
        if step.is_last:
            self.last_return = self.total_reward

    def _think(self, action: Any, reward: float) -> None:
        said, self._said = self._said or records.Thought(), None
        if not self.keeps_thoughts:
            return
        chances = () if said.probabilities is None else said.probabilities
        if len(chances) > MAX_PROBABILITIES:
            chances = ()
        thought = Thought(
            action=int(action) if isinstance(action, int | np.integer) else None,
            probabilities=[round(number(each), 4) for each in chances],
            value=None if said.value is None else number(said.value),
            text=None if said.text is None else printable(said.text)[:MAX_SHORT_TEXT],
            reward=number(reward),
            episode_return=self.total_reward or 0.0,
            episode=self.number + 1,
            step=self.steps or 0,
            decided_at=time.time(),
        )
        self._thoughts = [*self._thoughts[1 - MAX_THOUGHTS :], thought]


def number(value: float) -> float:
    """Return a number that messages may carry; 0 for one that is none."""
    if math.isnan(value):
        return 0.0
    return min(max(float(value), -LARGEST_NUMBER), LARGEST_NUMBER)
