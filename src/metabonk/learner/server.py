"""HTTP routes of the learner, its queue of rollouts and its newest weights."""

import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from metabonk.errors import WireError
from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.http.metrics import ModelCollector, metrics_routes
from metabonk.learner.stats import LearnerStats
from metabonk.messages import ErrorBody, LearnerStatus
from metabonk.policy import PolicySpec, Rollout

PUT_TIMEOUT_S = 1.0
"""How long a rollout waits while the queue is full. An update usually takes less; a refused worker
would come back later, when the learner has run out of rollouts."""

RETRY_AFTER_S = 1
"""Pause of a worker before it sends a refused rollout again."""

SAFETENSORS = "application/octet-stream"
BYTES = {"content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}}}


class RolloutQueue:
    """FIFO queue of rollouts, from any number of threads to one learner.

    Bounded by steps, since rollouts differ in length. A rollout that doesn't fit is refused after a
    wait, which slows its worker down.

    Args:
        capacity: steps. A single rollout always fits into an empty queue.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rollouts: deque[Rollout] = deque()
        self._steps = 0
        self._changed = threading.Condition()

    def put(self, rollout: Rollout, timeout: float = 0.0) -> bool:
        """Add a rollout, waiting up to ``timeout`` seconds for room.

        Returns:
            False if there was none; the rollout was not added.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(rollout)), timeout):
                return False
            self._rollouts.append(rollout)
            self._steps += len(rollout)
            self._changed.notify_all()
            return True

    def take(self, steps: int, timeout: float) -> list[Rollout]:
        """Take the oldest rollouts with at least ``steps`` steps in total.

        Returns:
            An empty list if there were not enough after ``timeout`` seconds; they stay queued.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._steps < steps:
                if not self._changed.wait(deadline - time.monotonic()):
                    return []
            taken: list[Rollout] = []
            gathered = 0
            while gathered < steps:
                rollout = self._rollouts.popleft()
                gathered += len(rollout)
                taken.append(rollout)
            self._steps -= gathered
            self._changed.notify_all()
            return taken

    def _has_room(self, steps: int) -> bool:
        return not self._rollouts or self._steps + steps <= self._capacity

    @property
    def steps(self) -> int:
        """Queued steps."""
        return self._steps


class WeightsStore:
    """The newest weights, encoded once for all workers.

    The entity tag combines the version with a random token of this process: after a restart from a
    checkpoint, the same version number may come again with other weights.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._newest: tuple[str, bytes] | None = None

    def publish(self, version: int, data: bytes) -> None:
        """Serve these weights from now on."""
        self._newest = f'"{version}-{self._token}"', data

    def newest(self) -> tuple[str, bytes] | None:
        """Return the entity tag and the weights; None before the first."""
        return self._newest


def max_rollout_bytes(spec: PolicySpec, steps: int) -> int:
    """Return the largest size of a rollout of ``steps`` steps in bytes, header included."""
    observation = math.prod(spec.observation_shape) * np.dtype(spec.observation_dtype).itemsize
    action = math.prod(spec.action_shape) * np.dtype(spec.action_dtype).itemsize
    header = 16_384 + 4 * len(spec.model_dump_json())
    # Every step may end an episode, which takes the header about 60 characters.
    return (steps + 1) * observation + steps * (action + 128) + 4 * spec.memory + header


def make_app(
    spec: PolicySpec,
    queue: RolloutQueue,
    weights: WeightsStore,
    stats: LearnerStats,
    *,
    rollout_steps: int,
) -> FastAPI:
    """Create the learner's application.

    Args:
        spec: of the policy; rollouts of another policy are refused.
        queue: receives the rollouts.
        weights: served to workers.
        stats: source of the status.
        rollout_steps: maximum steps of a rollout.
    """
    app = make_http_app("MetaBonk learner", max_body_bytes=max_rollout_bytes(spec, rollout_steps))

    def more(status: LearnerStatus) -> Iterator[Metric]:
        yield GaugeMetricFamily("metabonk_learner_steps_queued", "steps queued", queue.steps)
        yield GaugeMetricFamily(
            "metabonk_learner_gradient_steps_skipped", "gradient steps skipped", stats.skipped()
        )
        losses = GaugeMetricFamily("metabonk_learner_loss", "of the last update", labels=["term"])
        for term, value in status.losses.items():
            losses.add_metric([term], value)
        yield losses

    app.include_router(metrics_routes(ModelCollector(stats.status, "metabonk_learner", extra=more)))

    @app.post(
        "/rollouts",
        status_code=202,
        responses={code: {"model": ErrorBody} for code in (400, 409, 413, 503)},
        openapi_extra={"requestBody": {"required": True, **BYTES}},
    )
    async def post_rollout(request: Request) -> Response:
        """Receive one rollout as safetensors."""
        return await run_in_threadpool(_receive_rollout, await request.body(), spec, queue)

    @app.get(
        "/weights",
        response_class=Response,
        responses={200: BYTES, 304: {}, 503: {"model": ErrorBody}},
    )
    async def get_weights(request: Request) -> Response:
        """Return the newest weights as safetensors; 304 if the worker has them."""
        newest = weights.newest()
        if newest is None:
            return _unavailable("starting", "the learner has no weights yet")
        tag, data = newest
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        return Response(data, media_type=SAFETENSORS, headers={"ETag": tag})

    @app.get("/status")
    async def get_status() -> LearnerStatus:
        """Return the current state of the learner."""
        return stats.status()

    @app.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Respond while the process is alive."""
        return "ok\n"

    return app


def _receive_rollout(body: bytes, spec: PolicySpec, queue: RolloutQueue) -> Response:
    try:
        rollout = Rollout.from_bytes(body)
    except WireError as error:
        return error_response(400, "malformed_rollout", str(error))
    if difference := spec.difference(rollout.spec):
        return error_response(409, "other_policy", f"the rollout doesn't fit: {difference}")
    if not queue.put(rollout, PUT_TIMEOUT_S):
        return _unavailable(
            "queue_full", f"{queue.steps} steps are queued already; send it again later"
        )
    return Response(status_code=202)


def _unavailable(error: str, message: str) -> Response:
    return error_response(503, error, message, {"Retry-After": str(RETRY_AFTER_S)})
