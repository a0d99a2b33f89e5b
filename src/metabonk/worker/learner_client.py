"""Client of the learner: sends rollouts and fetches weights, on two threads."""

import logging
import threading
from collections import deque
from collections.abc import Callable

import httpx

from metabonk.errors import PolicyError, WireError
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

QUEUED_ROLLOUTS = 8
"""Rollouts queued before the worker is ahead of the learner; of 32 steps at 72×128×3, 7 MB."""

POLL_S = 0.5
RETRY_S = 1.0

TIMEOUT_S = 10.0
"""Timeout of a request."""

CLOSE_S = 0.2
"""Wait for either thread to end. No longer: the learner may be ending too, and never answer."""


class LearnerClient:
    """Sends rollouts and fetches weights.

    Args:
        url: of the learner.
        on_weights: called with newer weights as safetensors, on the client's thread. Weights that
            it refuses with ``WireError`` or ``PolicyError`` are logged and passed over.
        games: of the worker; each may complete a rollout between two checks for room.

    Attributes:
        rollouts_dropped: since the learner was behind.
    """

    def __init__(self, url: str, on_weights: Callable[[bytes], None], *, games: int = 1) -> None:
        self._url = url
        self._on_weights = on_weights
        self._capacity = QUEUED_ROLLOUTS + games
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._etag: str | None = None
        self._reachable = True
        self._closed = threading.Event()
        self.rollouts_dropped = 0
        self._sender = threading.Thread(target=self._send_all, name="rollouts", daemon=True)
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self._fetcher = PeriodicThread(
            self._fetch, POLL_S, name="weights", at_end=self._client.close
        )

    def start(self) -> None:
        """Start sending and fetching."""
        self._sender.start()
        self._fetcher.start()

    def close(self) -> None:
        """End both threads; rollouts not sent yet are dropped, as they would be stale."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._sender.is_alive():
            self._sender.join(CLOSE_S)
        self._fetcher.close(CLOSE_S)

    def submit(self, rollout: bytes) -> None:
        """Queue a rollout without waiting; a full queue drops its oldest.

        Args:
            rollout: ``Rollout`` as safetensors.
        """
        with self._changed:
            if len(self._queue) >= self._capacity:
                self._queue.popleft()
                self.rollouts_dropped += 1
            self._queue.append(rollout)
            self._changed.notify_all()

    def wait_until_not_full(self, timeout_s: float) -> bool:
        """Wait until the learner keeps up; return whether it does within ``timeout_s`` seconds.

        Pausing play meanwhile leaves the processor to the learner. True also while the learner
        does not answer: then play continues, and the oldest rollouts are dropped.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    len(self._queue) < QUEUED_ROLLOUTS
                    or not self._reachable
                    or self._closed.is_set()
                ),
                timeout_s,
            )

    def _send_all(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
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
                self._mark_down(error)
                self._closed.wait(RETRY_S)
                continue
            self._mark_up()
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                self._closed.wait(_retry_after(answer))
                continue
            if answer.is_error:
                log.warning("the learner refused a rollout: %s", answer.text[:500])
            return

    def _fetch(self) -> None:
        headers = {"If-None-Match": self._etag} if self._etag else {}
        try:
            answer = self._client.get(f"{self._url}/weights", headers=headers)
        except httpx.HTTPError as error:
            self._mark_down(error)
            return
        self._mark_up()
        if answer.status_code != httpx.codes.OK:
            return
        self._etag = answer.headers.get("ETag")
        try:
            self._on_weights(answer.content)
        except (WireError, PolicyError) as error:
            log.warning("the learner's weights are passed over: %s", error)

    def _mark_down(self, error: httpx.HTTPError) -> None:
        with self._changed:
            if self._reachable:
                log.warning("the learner does not answer (%s); play continues without it", error)
            self._reachable = False
            self._changed.notify_all()

    def _mark_up(self) -> None:
        with self._changed:
            if not self._reachable:
                log.info("the learner answers again")
            self._reachable = True


def _retry_after(answer: httpx.Response) -> float:
    value = answer.headers.get("Retry-After", "")
    return min(float(value), 5.0) if value.isdigit() else 0.2
