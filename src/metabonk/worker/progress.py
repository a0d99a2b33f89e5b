"""Steps and episodes of one worker."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

from metabonk.messages.base import Loop
from metabonk.messages.workers import Counters, EpisodeReport
from metabonk.system.rate import Rate


class Progress:
    """Counts steps and episodes of one worker process; thread-safe.

    Args:
        worker_index: for episodes.
        offset: counted by the worker's earlier processes in this run.

    Attributes:
        episode_return: of the last finished episode; None before the first.
    """

    def __init__(self, worker_index: int, offset: Counters) -> None:
        self._worker_index = worker_index
        self._offset = offset
        self._steps = Rate()
        self._episodes = 0
        self._lock = threading.Lock()
        self.episode_return: float | None = None

    def counters(self) -> Counters:
        """Return the worker's counters in the run, its earlier processes included."""
        offset = self._offset
        return Counters(offset.step + self._steps.total, offset.episode + self._episodes)

    def steps_per_s(self) -> float:
        """Return the step rate of the last few seconds."""
        return self._steps.per_second()

    def restart_rate(self) -> None:
        """Measure the step rate from now on; the counters stay."""
        self._steps.restart()

    def count_step(self) -> None:
        """Count a policy step."""
        self._steps.count()

    def finish_episode(
        self, total_reward: float, length: int, policy_version: int
    ) -> EpisodeReport:
        """Count a finished episode and return its message.

        Args:
            total_reward: its unshaped return.
            length: policy steps in it.
            policy_version: of the weights at its end.
        """
        with self._lock:
            self._episodes += 1
            self.episode_return = total_reward
            counters = self.counters()
        return EpisodeReport(
            worker_index=self._worker_index,
            episode=counters.episode,
            total_reward=total_reward,
            length=length,
            step=counters.step,
            policy_version=policy_version,
            ended_at=time.time(),
        )


class LoopTurns:
    """Counts the turns of a worker's loops, by which others see that it makes progress.

    A turn waits for nothing that may take long, or counts the parts of its wait. Thread-safe.
    """

    def __init__(self) -> None:
        self._before: Counter[Loop] = Counter()
        self._running: dict[Loop, Counter[int]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self, loop: Loop) -> Iterator[None]:
        """Report the loop for the duration of the block."""
        with self._lock:
            self._running[loop] = Counter()
        try:
            yield
        finally:
            with self._lock:
                self._before[loop] += _slowest(self._running.pop(loop))

    def count(self, loop: Loop) -> None:
        """Count a turn that the calling thread has made of a loop that runs."""
        with self._lock:
            self._running[loop][threading.get_ident()] += 1

    def of_running(self) -> dict[Loop, int]:
        """Return the turns of the loops that run now; of several threads, the slowest one's."""
        with self._lock:
            return {loop: self._before[loop] + _slowest(of) for loop, of in self._running.items()}


def _slowest(turns: Counter[int]) -> int:
    return min(turns.values(), default=0)
