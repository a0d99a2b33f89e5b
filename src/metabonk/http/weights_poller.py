"""Fetches the learner's weights by long polling, on a thread of its own."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

import httpx

from metabonk.errors import PolicyError, WireError

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""Longest time that the learner holds a request until there are newer weights."""

TIMEOUT_S = 10.0
"""Timeout of a request, beyond that wait."""

INTERVAL_S = 0.5
"""Time from a request that brings no weights to the next, at least."""


class WeightsPoller:
    """Passes newer weights on as soon as the learner has them.

    Args:
        url: of the learner.
        on_weights: called with newer weights as safetensors, on the poller's thread. Weights that
            it refuses with ``WireError`` or ``PolicyError`` are logged and passed over.
        on_answer: called on that thread whenever the learner has answered.
        on_failure: called on that thread whenever it has not.
        pause_s: called after newer weights; returns how long they do, seconds.
        headers: sent with every request.
    """

    def __init__(
        self,
        url: str,
        on_weights: Callable[[bytes], None],
        *,
        on_answer: Callable[[], None],
        on_failure: Callable[[httpx.HTTPError], None],
        pause_s: Callable[[], float] = lambda: 0.0,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._headers = dict(headers)
        self._url = f"{url}/weights"
        self._on_weights = on_weights
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._pause_s = pause_s
        self._etag: str | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._polling: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._thread = threading.Thread(target=self._run, name="weights", daemon=True)

    def start(self) -> None:
        """Start fetching."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Cancel the request in progress, and wait up to ``timeout_s`` for the thread to end.

        Safe to call before ``start``.
        """
        with self._lock:
            self._closed = True
            if self._polling is not None:
                loop, task = self._polling
                with contextlib.suppress(RuntimeError):  # An error has ended it.
                    loop.call_soon_threadsafe(task.cancel)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        # An event loop, since a request in progress can be canceled there, and nowhere else.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._poll())

    async def _poll(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._closed:
                return
            self._polling = loop, task
        timeout = httpx.Timeout(TIMEOUT_S, read=WAIT_S + TIMEOUT_S)
        async with httpx.AsyncClient(
            timeout=timeout, trust_env=False, headers=self._headers
        ) as client:
            while True:
                due = loop.time() + INTERVAL_S
                if not await self._fetch(client):
                    await asyncio.sleep(due - loop.time())
                elif pause_s := self._pause_s():
                    await asyncio.sleep(pause_s)

    async def _fetch(self, client: httpx.AsyncClient) -> bool:
        """Make a request; return whether it brought weights."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        try:
            answer = await client.get(self._url, params={"wait": WAIT_S}, headers=headers)
        except httpx.HTTPError as error:
            self._on_failure(error)
            return False
        self._on_answer()
        if answer.status_code != httpx.codes.OK:
            return False
        self._etag = answer.headers.get("ETag")
        try:
            self._on_weights(answer.content)
        except (WireError, PolicyError) as error:
            log.warning("the learner's weights are passed over: %s", error)
        return True
