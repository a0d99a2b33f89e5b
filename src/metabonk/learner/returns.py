"""How well the policy does, from the episodes that rollouts tell of."""

import statistics
from collections import deque
from collections.abc import Iterable

from metabonk.policy.rollout import EndedEpisode

WINDOW = 100
"""Episodes that a mean is taken over."""


class Returns:
    """The last episodes of all games."""

    def __init__(self) -> None:
        self._newest: deque[EndedEpisode] = deque(maxlen=WINDOW)

    def add(self, episodes: Iterable[EndedEpisode]) -> None:
        """Takes episodes, oldest first."""
        self._newest.extend(episodes)

    @property
    def complete(self) -> bool:
        """Whether the window is full, so that its mean can be told from luck."""
        return len(self._newest) == WINDOW

    @property
    def mean(self) -> float | None:
        """Mean unshaped return of the window; None before the first episode."""
        return statistics.fmean(e.total_reward for e in self._newest) if self._newest else None

    @property
    def mean_length(self) -> float | None:
        """Mean decisions of the window's episodes; None before the first."""
        return statistics.fmean(e.length for e in self._newest) if self._newest else None
