"""Client of the learner: sends rollouts and fetches weights, on two threads.

Rollouts go through shared memory where the learner is on this machine, else by HTTP.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

import httpx

from metabonk.http.weights_poller import WeightsPoller
from metabonk.policy.rollout_socket import Answer, RolloutSocket
from metabonk.system.contact import Contact

log = logging.getLogger(__name__)

QUEUED_ROLLOUTS = 8
"""Rollouts queued before the worker is ahead of the learner; of 32 steps at 72×128×3, 7 MB."""

RETRY_S = 1.0

TIMEOUT_S = 10.0
"""Timeout of a request."""

CLOSE_S = 0.2
"""Wait for either thread to end. No longer: the learner may be ending too, and never answer."""


class LearnerClient:
    """Sends rollouts and fetches weights.

    Args:
        url: of the learner.
        on_weights: called with newer weights, see ``WeightsPoller``.
        games: of the worker; each may complete a rollout between two checks for room.
        pause_s: see ``WeightsPoller``.

    Attributes:
        rollouts_dropped: since the learner was behind.
    """

    def __init__(
        self,
        url: str,
        on_weights: Callable[[bytes], None],
        *,
        games: int = 1,
        pause_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._url = httpx.URL(url)
        self._socket: RolloutSocket | None = None
        self._capacity = QUEUED_ROLLOUTS + games
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._reachable = True
        self._contact = Contact("the learner", "play continues without it")
        self._closed = threading.Event()
        self.rollouts_dropped = 0
        self._sender = threading.Thread(target=self._send_all, name="rollouts", daemon=True)
        self._poller = WeightsPoller(
            url,
            on_weights,
            on_answer=self._mark_up,
            on_failure=self._mark_down,
            pause_s=pause_s,
        )

    def start(self) -> None:
        """Start sending and fetching."""
        self._sender.start()
        self._poller.start()

    def close(self) -> None:
        """End both threads; rollouts not sent yet are dropped, as they would be stale."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._sender.is_alive():
            self._sender.join(CLOSE_S)
        self._poller.close(CLOSE_S)

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
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self._closed.is_set())
                    if self._closed.is_set():
                        return
                    rollout = self._queue.popleft()
                    self._changed.notify_all()
                self._send(client, rollout)

    def _send(self, client: httpx.Client, rollout: bytes) -> None:
        while not self._closed.is_set():
            try:
                answer = self._send_locally(rollout) or self._post(client, rollout)
            except (OSError, httpx.HTTPError) as error:
                self._mark_down(error)
                self._closed.wait(RETRY_S)
                continue
            self._mark_up()
            if answer.status == httpx.codes.SERVICE_UNAVAILABLE:
                continue
            if answer.status >= httpx.codes.BAD_REQUEST:
                log.warning("the learner refused a rollout: %s", answer.message)
            return

    def _send_locally(self, rollout: bytes) -> Answer | None:
        """Send a rollout through shared memory; return None where there is no such connection."""
        if self._socket is None:
            try:
                self._socket = RolloutSocket(self._url.port or 80)
            except OSError:
                return None
        try:
            return self._socket.send(rollout)
        except OSError:
            self._socket.close()
            self._socket = None
            raise

    def _post(self, client: httpx.Client, rollout: bytes) -> Answer:
        answer = client.post(self._url.join("/rollouts"), content=rollout)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self._closed.wait(_retry_after(answer))
        return Answer(answer.status_code, answer.text[:500] if answer.is_error else "")

    def _mark_down(self, error: Exception) -> None:
        with self._changed:
            self._reachable = False
            self._contact.lost(error)
            self._changed.notify_all()

    def _mark_up(self) -> None:
        with self._changed:
            self._contact.found()
            self._reachable = True


def _retry_after(answer: httpx.Response) -> float:
    value = answer.headers.get("Retry-After", "")
    return min(float(value), 5.0) if value.isdigit() else 0.2
