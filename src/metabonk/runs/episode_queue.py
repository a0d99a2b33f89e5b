"""Episodes that wait to be sent or written."""

import itertools
import threading
from collections import deque
from collections.abc import Iterable

from metabonk.messages.workers import EpisodeReport


class EpisodeQueue:
    """Finished episodes, oldest first, in bounded memory. Thread-safe.

    Logs are given up before episodes: one that exceeds its bound is left out, while its episode
    stays. Of too many episodes, the oldest are dropped.

    Args:
        max_episodes: at once.
        max_log_bytes: of all logs together.

    Attributes:
        lost: episodes that were dropped.
    """

    def __init__(self, max_episodes: int, max_log_bytes: int) -> None:
        self._max_episodes = max_episodes
        self._max_log_bytes = max_log_bytes
        self._lock = threading.Lock()
        self._episodes: deque[EpisodeReport] = deque()
        self._log_bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        """Return the number of episodes that wait."""
        return len(self._episodes)

    def extend(self, episodes: Iterable[EpisodeReport]) -> None:
        """Append finished episodes."""
        with self._lock:
            for episode in episodes:
                if self._log_bytes + _log_bytes(episode) > self._max_log_bytes:
                    episode = episode.model_copy(update={"log": None})
                self._episodes.append(episode)
                self._log_bytes += _log_bytes(episode)
            while len(self._episodes) > self._max_episodes:
                self._remove_oldest()
                self.lost += 1

    def all(self) -> list[EpisodeReport]:
        """Return every episode; they stay until they are removed."""
        with self._lock:
            return list(self._episodes)

    def oldest(self, max_episodes: int, max_log_bytes: int) -> list[EpisodeReport]:
        """Return the oldest episodes, at least one if there is any.

        Args:
            max_episodes: to return.
            max_log_bytes: of all their logs together.
        """
        taken: list[EpisodeReport] = []
        with self._lock:
            for episode in itertools.islice(self._episodes, max_episodes):
                max_log_bytes -= _log_bytes(episode)
                if taken and max_log_bytes < 0:
                    break
                taken.append(episode)
        return taken

    def remove(self, episodes: Iterable[EpisodeReport]) -> None:
        """Remove what ``all`` or ``oldest`` returned."""
        with self._lock:
            for episode in episodes:
                if self._episodes and self._episodes[0] is episode:
                    self._remove_oldest()

    def _remove_oldest(self) -> None:
        self._log_bytes -= _log_bytes(self._episodes.popleft())


def _log_bytes(episode: EpisodeReport) -> int:
    return len(episode.log or b"")
