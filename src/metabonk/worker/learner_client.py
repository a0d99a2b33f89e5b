"""Sends rollouts to the learner and brings back newer weights, in a thread of its own."""

import logging
import threading
from collections import deque

import httpx

log = logging.getLogger(__name__)

QUEUED_ROLLOUTS = 8
"""Rollouts that wait before the worker is ahead of the learner; of 32 steps at 72×128×3, 7 MB."""

POLL_S = 0.5
RETRY_S = 1.0


class LearnerClient:
    """The line to the learner.

    Args:
        url: of the learner.
        games: of the worker; each may complete a rollout between two looks for room.
    """

    def __init__(self, url: str, *, games: int = 1) -> None:
        self._url = url
        self._capacity = QUEUED_ROLLOUTS + games
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._weights: bytes | None = None
        self._etag: str | None = None
        self._reachable = True
        self._first_weights = threading.Event()
        self._closed = threading.Event()
        self.rollouts_dropped = 0
        self._sender = threading.Thread(target=self._send_all, name="rollouts", daemon=True)
        self._fetcher = threading.Thread(target=self._fetch_all, name="weights", daemon=True)

    def start(self) -> None:
        """Starts sending and fetching."""
        self._sender.start()
        self._fetcher.start()

    def close(self) -> None:
        """Ends both threads; rollouts not sent yet are lost, as they would be old."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        # No longer: either may wait for an answer of a learner that is ending as well.
        self._sender.join(0.2)
        self._fetcher.join(0.2)

    def submit(self, rollout: bytes) -> None:
        """Queues a rollout, and waits for nothing: where the queue is full, the oldest goes.

        Args:
            rollout: ``Rollout`` as safetensors.
        """
        with self._changed:
            if len(self._queue) >= self._capacity:
                self._queue.popleft()
                self.rollouts_dropped += 1
            self._queue.append(rollout)
            self._changed.notify_all()

    def wait_for_room(self, timeout: float) -> bool:
        """Whether the learner keeps up with this worker, or does within ``timeout`` seconds.

        Who holds play until it does leaves the processor to a learner that is behind. True also
        while the learner is away: then play goes on and the oldest rollout goes.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    len(self._queue) < QUEUED_ROLLOUTS
                    or not self._reachable
                    or self._closed.is_set()
                ),
                timeout,
            )

    def newer_weights(self) -> bytes | None:
        """The newest weights as safetensors, once each; None when there is nothing new."""
        if self._weights is None:
            return None
        with self._changed:
            weights, self._weights = self._weights, None
        return weights

    def wait_for_weights(self, timeout: float) -> bool:
        """Whether the first weights have come within ``timeout`` seconds."""
        return self._first_weights.wait(timeout)

    def _send_all(self) -> None:
        with httpx.Client(timeout=10.0, trust_env=False) as client:
            while not self._closed.is_set():
                with self._changed:
                    if not self._changed.wait_for(lambda: bool(self._queue), POLL_S):
                        continue
                    rollout = self._queue.popleft()
                    self._changed.notify_all()
                self._send(client, rollout)

    def _send(self, client: httpx.Client, rollout: bytes) -> None:
        while not self._closed.is_set():
            try:
                answer = client.post(f"{self._url}/rollouts", content=rollout)
            except httpx.HTTPError as error:
                self._lost(error)
                self._closed.wait(RETRY_S)
                continue
            self._found()
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                self._closed.wait(_retry_after(answer))
                continue
            if answer.is_error:
                log.warning("the learner refused a rollout: %s", answer.text[:500])
            return

    def _fetch_all(self) -> None:
        with httpx.Client(timeout=10.0, trust_env=False) as client:
            while not self._closed.is_set():
                self._fetch(client)
                self._closed.wait(POLL_S)

    def _fetch(self, client: httpx.Client) -> None:
        headers = {"If-None-Match": self._etag} if self._etag else {}
        try:
            answer = client.get(f"{self._url}/weights", headers=headers)
        except httpx.HTTPError as error:
            self._lost(error)
            return
        self._found()
        if answer.status_code == httpx.codes.OK:
            self._etag = answer.headers.get("ETag")
            with self._changed:
                self._weights = answer.content
            self._first_weights.set()

    def _lost(self, error: httpx.HTTPError) -> None:
        with self._changed:
            if self._reachable:
                log.warning("the learner does not answer (%s); play goes on without it", error)
            self._reachable = False
            self._changed.notify_all()

    def _found(self) -> None:
        with self._changed:
            if not self._reachable:
                log.info("the learner answers again")
            self._reachable = True


def _retry_after(answer: httpx.Response) -> float:
    value = answer.headers.get("Retry-After", "")
    return min(float(value), 5.0) if value.isdigit() else 0.2
