"""Heartbeats: the worker's status and episodes to the orchestrator, its assignment back."""

import http.client
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from pydantic import ValidationError

from metabonk.messages.workers import EpisodeReport, Heartbeat, HeartbeatReply, WorkerStatus
from metabonk.runs.episode_queue import EpisodeQueue
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
TIMEOUT_S = 2.0

KEPT_S = 2.0
"""Time for which an unused connection is kept: the orchestrator closes one after five seconds."""

MAX_EPISODES = 5_000
"""Finished episodes kept while the orchestrator does not answer; then the oldest are dropped."""

MAX_LOG_BYTES = 16 << 20
"""Their logs; beyond it, episodes are kept without theirs."""

MAX_EPISODES_SENT = 1_000
MAX_LOG_BYTES_SENT = 2 << 20
"""Episodes in one heartbeat, and their logs."""


class Recording(Protocol):
    """A recorded episode, such as ``policy.episode_recorder`` makes."""

    def to_bytes(self) -> bytes | None:
        """Encode its log; None if it is too long for one."""
        ...


class HeartbeatSender:
    """Thread that sends a heartbeat every ``interval_s`` seconds.

    There may be many of these on a machine, so it uses the standard library's client: httpx takes
    several times as long for a request.

    Args:
        authority: host and port of the orchestrator.
        status: returns the current status.
        on_reply: called with every reply, on the thread.
        interval_s: between two heartbeats.
    """

    def __init__(
        self,
        authority: str,
        status: Callable[[], WorkerStatus],
        on_reply: Callable[[HeartbeatReply], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._status = status
        self._on_reply = on_reply
        self._finished: deque[tuple[EpisodeReport, Recording | None]] = deque(maxlen=MAX_EPISODES)
        self._episodes = EpisodeQueue(MAX_EPISODES, MAX_LOG_BYTES)
        self._reachable = True
        self._connection = http.client.HTTPConnection(authority, timeout=TIMEOUT_S)
        self._sent_at = float("-inf")
        self._thread = PeriodicThread(
            self._beat, interval_s, name="heartbeat", at_end=self._connection.close
        )

    def start(self) -> None:
        """Start the thread; the first heartbeat is sent at once."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        # No longer: the orchestrator may be ending too, and never answer.
        self._thread.close(0.2)

    def add_episode(self, episode: EpisodeReport, recording: Recording | None = None) -> None:
        """Queue a finished episode; it is sent until a heartbeat with it is answered.

        Args:
            episode: without a log.
            recording: of the episode; encoded on the thread.
        """
        self._finished.append((episode, recording))

    def _beat(self) -> None:
        self._episodes.extend(self._encode_finished())
        sent = self._episodes.oldest(MAX_EPISODES_SENT, MAX_LOG_BYTES_SENT)
        heartbeat = Heartbeat(status=self._status(), episodes=sent)
        try:
            reply = self._send(heartbeat)
        except (OSError, http.client.HTTPException, ValidationError) as error:
            self._connection.close()
            if self._reachable:
                log.warning("the orchestrator does not answer (%s); play continues", error)
            self._reachable = False
            return
        if not self._reachable:
            log.info("the orchestrator answers again")
        self._reachable = True
        self._episodes.remove(sent)
        self._on_reply(reply)

    def _send(self, heartbeat: Heartbeat) -> HeartbeatReply:
        """Send a heartbeat, and wait for the reply.

        Raises:
            OSError, HTTPException, ValidationError: there is none.
        """
        now = time.monotonic()
        if now - self._sent_at > KEPT_S:
            self._connection.close()
        self._sent_at = now
        body = heartbeat.model_dump_json().encode()
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/api/heartbeat", body, headers)
        with self._connection.getresponse() as answer:
            content = answer.read()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"status {answer.status} {answer.reason}")
        return HeartbeatReply.model_validate_json(content)

    def _encode_finished(self) -> Iterator[EpisodeReport]:
        while self._finished:
            episode, recording = self._finished.popleft()
            log = recording.to_bytes() if recording is not None else None
            yield episode.model_copy(update={"log": log})
