"""Heartbeats: the worker's status and episodes to the orchestrator, its assignment back."""

import logging
from collections import deque
from collections.abc import Callable

import httpx
from pydantic import ValidationError

from metabonk.messages import Episode, Heartbeat, HeartbeatReply, WorkerStatus
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
MAX_EPISODES = 5_000
"""Finished episodes kept while the orchestrator does not answer; then the oldest are dropped."""

MAX_EPISODES_SENT = 1_000
"""Episodes in one heartbeat."""


class HeartbeatSender:
    """Thread that sends a heartbeat every ``INTERVAL_S`` seconds.

    Args:
        url: of the orchestrator.
        status: returns the current status.
        on_reply: called with every reply, on the thread.
    """

    def __init__(
        self,
        url: str,
        status: Callable[[], WorkerStatus],
        on_reply: Callable[[HeartbeatReply], None],
    ) -> None:
        self._url = f"{url}/api/heartbeat"
        self._status = status
        self._on_reply = on_reply
        self._episodes: deque[Episode] = deque(maxlen=MAX_EPISODES)
        self._reachable = True
        self._client = httpx.Client(timeout=2.0, trust_env=False)
        self._thread = PeriodicThread(
            self._beat, INTERVAL_S, name="heartbeat", at_end=self._client.close
        )

    def start(self) -> None:
        """Start the thread; the first heartbeat is sent at once."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        # No longer: the orchestrator may be ending too, and never answer.
        self._thread.close(0.2)

    def add_episode(self, episode: Episode) -> None:
        """Queue a finished episode; it is sent until a heartbeat with it is answered."""
        self._episodes.append(episode)

    def _beat(self) -> None:
        sent = [self._episodes[i] for i in range(min(len(self._episodes), MAX_EPISODES_SENT))]
        heartbeat = Heartbeat(status=self._status(), episodes=sent)
        try:
            answer = self._client.post(
                self._url,
                content=heartbeat.model_dump_json(),
                headers={"Content-Type": "application/json"},
            )
            answer.raise_for_status()
            reply = HeartbeatReply.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            if self._reachable:
                log.warning("the orchestrator does not answer (%s); play continues", error)
            self._reachable = False
            return
        if not self._reachable:
            log.info("the orchestrator answers again")
        self._reachable = True
        for episode in sent:
            if self._episodes and self._episodes[0] is episode:
                self._episodes.popleft()
        self._on_reply(reply)
