"""Tells the orchestrator once a half second how the worker is, and takes the director's wish."""

import logging
import threading
from collections import deque
from collections.abc import Callable

import httpx
from pydantic import ValidationError

from metabonk.messages import Episode, Heartbeat, HeartbeatReply, WorkerStatus

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
KEPT_EPISODES = 5_000
"""Finished episodes kept while the orchestrator does not answer; then the oldest go."""

SENT_AT_ONCE = 1_000


class HeartbeatSender:
    """The heartbeat thread.

    Args:
        url: of the orchestrator.
        status: the status object now.
        on_reply: told of every answer.
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
        self._episodes: deque[Episode] = deque(maxlen=KEPT_EPISODES)
        self._stop = threading.Event()
        self._reachable = True
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Starts the thread; the first heartbeat goes out at once."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        # No longer: it may wait for an answer of an orchestrator that is ending as well.
        self._thread.join(0.2)

    def finished(self, episode: Episode) -> None:
        """Hands over a finished episode; it goes with the next heartbeat that is answered."""
        self._episodes.append(episode)

    def _run(self) -> None:
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            while True:
                self._beat(client)
                if self._stop.wait(INTERVAL_S):
                    return

    def _beat(self, client: httpx.Client) -> None:
        sent = [self._episodes[i] for i in range(min(len(self._episodes), SENT_AT_ONCE))]
        heartbeat = Heartbeat(status=self._status(), episodes=sent)
        try:
            answer = client.post(
                self._url,
                content=heartbeat.model_dump_json(),
                headers={"Content-Type": "application/json"},
            )
            answer.raise_for_status()
            reply = HeartbeatReply.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            if self._reachable:
                log.warning("the orchestrator does not answer (%s); play goes on", error)
            self._reachable = False
            return
        if not self._reachable:
            log.info("the orchestrator answers again")
        self._reachable = True
        for episode in sent:
            if self._episodes and self._episodes[0] is episode:
                self._episodes.popleft()
        self._on_reply(reply)
