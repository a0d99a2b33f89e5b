"""Count of the people who watch, each of whom may watch several workers."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from metabonk.messages.workers import WorkerStatus


class Viewers:
    """Viewers of the fleet's streams. Thread-safe.

    Those who come through the page's port are known by their page: a broadcast shows every worker
    and has one viewer. Whoever opens a worker's own port is known to that worker alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: Counter[str] = Counter()
        self._through: Counter[str] = Counter()

    @contextlib.contextmanager
    def watching(self, worker: str, page: str) -> Iterator[None]:
        """Count a viewer of a worker's stream for the duration of the block.

        Args:
            worker: its name.
            page: names the page that shows it.
        """
        self._add(worker, page, 1)
        try:
            yield
        finally:
            self._add(worker, page, -1)

    def count(self, workers: Iterable[WorkerStatus]) -> int:
        """Return how many watch.

        Args:
            workers: their statuses, which are half a second behind.
        """
        with self._lock:
            direct = (
                worker.stream_active_clients - self._through[worker.instance_id]
                for worker in workers
            )
            return len(self._pages) + sum(max(0, clients) for clients in direct)

    def _add(self, worker: str, page: str, number: int) -> None:
        with self._lock:
            for counter, name in ((self._through, worker), (self._pages, page)):
                counter[name] += number
                if counter[name] == 0:
                    del counter[name]
