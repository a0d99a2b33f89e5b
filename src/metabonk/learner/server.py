"""HTTP routes of the learner."""

from collections.abc import Iterator

import torch
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.http.metrics import ModelCollector, metrics_routes
from metabonk.http.weights import BYTES, RETRY_AFTER_S, WeightsStore, weights_routes
from metabonk.learner.rollouts import RolloutQueue, max_rollout_bytes, receive_rollout
from metabonk.learner.stats import LearnerStats
from metabonk.messages.base import ErrorBody
from metabonk.messages.learner import LearnerStatus
from metabonk.policy import PolicySpec
from metabonk.policy.rollout_socket import ROOM_TIMEOUT_S


def make_app(
    spec: PolicySpec,
    queue: RolloutQueue,
    weights: WeightsStore,
    stats: LearnerStats,
    *,
    rollout_steps: int,
    device: torch.device,
) -> FastAPI:
    """Create the learner's application.

    Args:
        spec: of the policy; rollouts of another policy are refused.
        queue: receives the rollouts.
        weights: served to workers.
        stats: source of the status.
        rollout_steps: maximum steps of a rollout.
        device: of the learner.
    """
    app = make_http_app("MetaBonk learner", max_body_bytes=max_rollout_bytes(spec, rollout_steps))

    def more(status: LearnerStatus) -> Iterator[Metric]:
        yield GaugeMetricFamily("metabonk_learner_steps_queued", "steps queued", queue.steps)
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
        refusal = await run_in_threadpool(
            receive_rollout, await request.body(), spec, queue, device, ROOM_TIMEOUT_S
        )
        if refusal is None:
            return Response(status_code=202)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if refusal.status == 503 else {}
        return error_response(refusal.status, refusal.error, refusal.message, headers)

    app.include_router(weights_routes(weights))

    @app.get("/status")
    async def get_status() -> LearnerStatus:
        """Return the current state of the learner."""
        return stats.status()

    @app.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Respond while the process is alive."""
        return "ok\n"

    return app
