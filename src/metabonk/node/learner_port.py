"""The learner as a node's workers see it: weights that came once, and a queue for rollouts.

A full queue holds up the workers' senders, as the learner's own does, so that they pause games that
nobody watches instead of playing with old weights.
"""

import asyncio
import contextlib
import itertools
import logging
import threading
from collections import deque

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.http.weights import RETRY_AFTER_S, WeightsStore, weights_routes
from metabonk.http.weights_poller import WeightsPoller
from metabonk.messages.nodes import ROLLOUT_HEADER
from metabonk.node.head import Head, Membership
from metabonk.system.contact import Contact

log = logging.getLogger(__name__)

MAX_ROLLOUT_BYTES = 256 << 20
"""The learner refuses smaller ones as well, by what a rollout of its game may have."""

QUEUED_ROLLOUTS = 16
SENDERS = 4
"""Rollouts on their way at once: each waits for an answer from another machine."""

ROOM_TIMEOUT_S = 5.0
TIMEOUT_S = 10.0
RETRY_S = 0.5
CLOSE_S = 0.5
NO_LEARNER = httpx.codes.SERVICE_UNAVAILABLE


class RolloutQueue:
    """Rollouts that wait to be sent. Thread-safe; ``put`` belongs to one event loop."""

    def __init__(self) -> None:
        self._rollouts: deque[tuple[int, bytes]] = deque()
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def put(self, rollout: bytes) -> bool:
        """Queue a rollout once there is room; return False if there is none in time."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                while not self._try_put(rollout):
                    await self._room.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[int, bytes] | None:
        """Wait for the oldest rollout and return it with its number; None once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._rollouts or self._closed)
            if self._closed:
                return None
            taken = self._rollouts.popleft()
            self._tell_of_room()
        return taken

    def close(self) -> None:
        """Drop what waits, and let nobody wait."""
        with self._changed:
            self._closed = True
            self._rollouts.clear()
            self._changed.notify_all()
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The server has ended.
                self._loop.call_soon_threadsafe(self._room.set)

    def _try_put(self, rollout: bytes) -> bool:
        with self._changed:
            if len(self._rollouts) >= QUEUED_ROLLOUTS and not self._closed:
                self._room.clear()
                return False
            if not self._closed:
                self._rollouts.append((next(self._numbers), rollout))
                self._changed.notify()
            return True


class LearnerPort:
    """Application of the learner's port on a node, and the threads that connect it to the head.

    Args:
        head: address and credentials.
        membership: of the node; the head takes nothing of another one.

    Attributes:
        app: for the workers of this node.
    """

    def __init__(self, head: Head, membership: Membership) -> None:
        self._url = head.address_of(membership)
        self._headers = {**head.headers, **membership.headers}
        self._queue = RolloutQueue()
        self._weights = WeightsStore()
        self._versions = itertools.count()
        self._contact = Contact("the learner", "workers go on with the weights that they have")
        self._closed = threading.Event()
        self.app = make_app(self._queue, self._weights)
        self._poller = WeightsPoller(
            self._url,
            lambda data: self._weights.publish(next(self._versions), data),
            on_answer=self._contact.found,
            on_failure=self._contact.lost,
            headers=self._headers,
        )
        self._senders = [
            threading.Thread(target=self._send_all, name=f"rollouts-{number}", daemon=True)
            for number in range(SENDERS)
        ]

    def start(self) -> None:
        """Start fetching weights and sending rollouts."""
        self._poller.start()
        for sender in self._senders:
            sender.start()

    def close(self) -> None:
        """End all threads; rollouts not sent yet are dropped, as they would be stale."""
        self._closed.set()
        self._queue.close()
        self._weights.close()
        self._poller.close(CLOSE_S)
        for sender in self._senders:
            if sender.is_alive():
                sender.join(CLOSE_S)

    def _send_all(self) -> None:
        timeout = httpx.Timeout(TIMEOUT_S, connect=2.0)
        with httpx.Client(timeout=timeout, trust_env=False, headers=self._headers) as client:
            while (taken := self._queue.take()) is not None:
                self._send(client, *taken)

    def _send(self, client: httpx.Client, number: int, rollout: bytes) -> None:
        while not self._closed.is_set():
            try:
                answer = client.post(
                    f"{self._url}/rollouts", content=rollout, headers={ROLLOUT_HEADER: str(number)}
                )
            except httpx.HTTPError as error:
                self._contact.lost(error)
                self._closed.wait(RETRY_S)
                continue
            if answer.status_code == NO_LEARNER:
                self._closed.wait(RETRY_S)
                continue
            if answer.is_error:
                log.warning("the learner refused a rollout: %s", answer.text[:500])
            return


def make_app(queue: RolloutQueue, weights: WeightsStore) -> FastAPI:
    """Create the application that this node's workers take for the learner."""
    app = make_http_app("MetaBonk node, learner", max_body_bytes=MAX_ROLLOUT_BYTES)
    app.include_router(weights_routes(weights))

    @app.post("/rollouts", status_code=202)
    async def post_rollout(request: Request) -> Response:
        """Take one rollout, and send it on."""
        if await queue.put(await request.body()):
            return Response(status_code=202)
        message = "rollouts of this node wait for the learner"
        return error_response(503, "behind", message, {"Retry-After": str(RETRY_AFTER_S)})

    @app.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Respond while the agent is alive."""
        return "ok\n"

    return app
