"""The learner's routes: rollouts in, weights out."""

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


class RolloutQueue:
    """First in, first out, from any number of threads to one learner.

    Bounded by decisions, since rollouts differ in length: what does not fit waits and is then
    refused, so that whoever sends holds back.

    Args:
        capacity: decisions it may hold. One rollout always fits into an empty queue.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rollouts: deque[Rollout] = deque()
        self._steps = 0
        self._changed = threading.Condition()

    def put(self, rollout: Rollout, timeout: float = 0.0) -> bool:
        """Takes a rollout as soon as there is room for it.

        Returns:
            False when there was none within ``timeout`` seconds, and then the caller keeps it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(len(rollout)), timeout):
                return False
            self._rollouts.append(rollout)
            self._steps += len(rollout)
            self._changed.notify_all()
            return True

    def take(self, steps: int, timeout: float) -> list[Rollout]:
        """The oldest rollouts with at least ``steps`` decisions in all.

        Returns:
            An empty list when there were not enough after ``timeout`` seconds; they stay queued.
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
        """Decisions that wait."""
        return self._steps


ROOM_WITHIN_S = 1.0
"""How long a rollout is held while the queue is full. An update takes less, as a rule, and whoever
was refused would come back after it, when the learner has run out of work."""

RETRY_AFTER_S = 1
"""What a worker waits before it offers a refused rollout again."""

SAFETENSORS = "application/octet-stream"
BYTES = {"content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}}}


class WeightsStore:
    """The newest weights, encoded once for all who fetch them.

    The entity tag holds a word of this process besides the version: after a restart from a
    checkpoint the same version number is reached again with other weights.
    """

    def __init__(self) -> None:
        self._word = secrets.token_hex(4)
        self._newest: tuple[str, bytes] | None = None

    def publish(self, version: int, data: bytes) -> None:
        """Serves these weights from now on."""
        self._newest = f'"{version}-{self._word}"', data

    def newest(self) -> tuple[str, bytes] | None:
        """The entity tag and the weights; None before the first."""
        return self._newest


def largest_rollout(spec: PolicySpec, steps: int) -> int:
    """Bytes that a rollout of ``steps`` decisions has at most, header included."""
    observation = math.prod(spec.observation_shape) * np.dtype(spec.observation_dtype).itemsize
    action = math.prod(spec.action_shape) * np.dtype(spec.action_dtype).itemsize
    header = 16_384 + 4 * len(spec.model_dump_json())
    # Every step may end an episode, which the header then tells in some 60 characters.
    return (steps + 1) * observation + steps * (action + 128) + 4 * spec.memory + header


def make_app(
    spec: PolicySpec,
    queue: RolloutQueue,
    shelf: WeightsStore,
    figures: LearnerStats,
    *,
    rollout_steps: int,
) -> FastAPI:
    """The application of the learner.

    Args:
        spec: of the policy that learns; rollouts of another are refused.
        queue: takes the rollouts.
        shelf: gives the weights.
        figures: says how it goes.
        rollout_steps: decisions a rollout may hold.
    """
    app = make_http_app("MetaBonk learner", max_body_bytes=largest_rollout(spec, rollout_steps))

    def more(status: LearnerStatus) -> Iterator[Metric]:
        yield GaugeMetricFamily("metabonk_learner_steps_queued", "steps queued", queue.steps)
        yield GaugeMetricFamily(
            "metabonk_learner_gradient_steps_skipped", "gradient steps skipped", figures.skipped()
        )
        losses = GaugeMetricFamily("metabonk_learner_loss", "of the last update", labels=["term"])
        for term, value in status.losses.items():
            losses.add_metric([term], value)
        yield losses

    app.include_router(
        metrics_routes(ModelCollector(figures.status, "metabonk_learner", extra=more))
    )

    @app.post(
        "/rollouts",
        status_code=202,
        responses={code: {"model": ErrorBody} for code in (400, 409, 413, 503)},
        openapi_extra={"requestBody": {"required": True, **BYTES}},
    )
    async def post_rollout(request: Request) -> Response:
        """Takes one rollout as safetensors."""
        return await run_in_threadpool(_take, await request.body(), spec, queue)

    @app.get(
        "/weights",
        response_class=Response,
        responses={200: BYTES, 304: {}, 503: {"model": ErrorBody}},
    )
    async def get_weights(request: Request) -> Response:
        """The newest weights as safetensors; 304 when the worker has them."""
        newest = shelf.newest()
        if newest is None:
            return _busy("starting", "the learner has no weights yet")
        tag, data = newest
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        return Response(data, media_type=SAFETENSORS, headers={"ETag": tag})

    @app.get("/status")
    async def get_status() -> LearnerStatus:
        """The learner as it is now."""
        return figures.status()

    @app.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Answers while the process lives."""
        return "ok\n"

    return app


def _take(body: bytes, spec: PolicySpec, queue: RolloutQueue) -> Response:
    try:
        rollout = Rollout.from_bytes(body)
    except WireError as error:
        return error_response(400, "malformed_rollout", str(error))
    if difference := spec.difference(rollout.spec):
        return error_response(409, "other_policy", f"the rollout doesn't fit: {difference}")
    if not queue.put(rollout, ROOM_WITHIN_S):
        return _busy("queue_full", f"{queue.steps} steps wait already; send it again later")
    return Response(status_code=202)


def _busy(error: str, message: str) -> Response:
    return error_response(503, error, message, {"Retry-After": str(RETRY_AFTER_S)})
