"""The newest weights, for whoever has older ones; of the learner, or of a node's agent."""

import asyncio
import contextlib
import secrets
import threading
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from metabonk.http.errors import error_response
from metabonk.messages.base import ErrorBody

MAX_WAIT_S = 60.0
"""Longest time that a request is held until there are newer weights."""

RETRY_AFTER_S = 1
"""Pause of a worker before it sends a refused rollout again, or asks for the first weights."""

SAFETENSORS = "application/octet-stream"
WaitS = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait for newer weights")
]
BYTES = {"content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}}}


class WeightsStore:
    """The newest weights, encoded once for all workers. Thread-safe.

    The entity tag combines the version with a random token of this process: after a restart from a
    checkpoint, the same version number may come again with other weights.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._newest: tuple[str, bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def publish(self, version: int, data: bytes) -> None:
        """Serve these weights from now on, and wake whoever waits for them."""
        with self._lock:
            self._newest = f'"{version}-{self._token}"', data
            self._wake_all()

    def newest(self) -> tuple[str, bytes] | None:
        """Return the entity tag and the weights; None before the first."""
        return self._newest

    @property
    def waiting(self) -> int:
        """Requests that wait for newer weights."""
        return len(self._waiting)

    async def wait_for_newer(self, known: str, timeout_s: float) -> None:
        """Wait until there are weights of another tag, the store is closed, or time is up.

        Args:
            known: contains the tags of weights that need not be waited for; may be empty.
            timeout_s: longest wait.
        """
        changed = asyncio.Event()
        with self._lock:
            if self._closed or (self._newest is not None and self._newest[0] not in known):
                return
            self._waiting[changed] = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.pop(changed, None)

    def close(self) -> None:
        """End all waits, and let none begin: a server that stops waits for its responses."""
        with self._lock:
            self._closed = True
            self._wake_all()

    def _wake_all(self) -> None:
        for changed, loop in self._waiting.items():
            with contextlib.suppress(RuntimeError):  # The server has ended.
                loop.call_soon_threadsafe(changed.set)
        self._waiting.clear()


def weights_routes(weights: WeightsStore) -> APIRouter:
    """Return the route that workers poll."""
    router = APIRouter()

    @router.get(
        "/weights",
        response_class=Response,
        responses={200: BYTES, 304: {}, 503: {"model": ErrorBody}},
    )
    async def get_weights(request: Request, wait: WaitS = 0.0) -> Response:
        """Return the newest weights as safetensors; 304 if the worker has them."""
        known = request.headers.get("if-none-match", "")
        await weights.wait_for_newer(known, wait)
        newest = weights.newest()
        if newest is None:
            message = "the learner has no weights yet"
            return error_response(503, "starting", message, {"Retry-After": str(RETRY_AFTER_S)})
        tag, data = newest
        if tag in known:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(data, media_type=SAFETENSORS, headers={"ETag": tag})

    return router
