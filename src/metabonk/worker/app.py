"""The HTTP server's routes of one worker."""

from collections.abc import Callable

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.responses import Response

from metabonk.http_app import Lifespan, make_http_app
from metabonk.messages import StreamState, WorkerStatus


def make_app(
    instance_id: str,
    status: Callable[[], WorkerStatus],
    *routers: APIRouter,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application of one worker.

    Args:
        instance_id: the worker's name.
        status: the status object now.
        routers: the stream's routes.
        lifespan: entered while it is served.
    """
    app = make_http_app("MetaBonk worker", lifespan=lifespan)
    for router in routers:
        app.include_router(router)
    metrics = _Metrics(status)

    @app.get("/status")
    @app.get(f"/api/worker/{instance_id}/status", include_in_schema=False)
    def get_status() -> WorkerStatus:
        """The worker as it is now."""
        return status()

    @app.get("/healthz", response_class=PlainTextResponse)
    def get_health() -> str:
        """Answers while the process lives."""
        return "ok\n"

    @app.get("/metrics", response_class=PlainTextResponse)
    def get_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app


class _Metrics:
    """The numbers of the status object as gauges, filled when somebody scrapes."""

    NUMBERS = tuple(
        name
        for name, field in WorkerStatus.model_fields.items()
        if field.annotation in (int, float, int | None, float | None) and name != "pid"
    )

    def __init__(self, status: Callable[[], WorkerStatus]) -> None:
        self._status = status
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(
                f"metabonk_worker_{name}",
                WorkerStatus.model_fields[name].description or name.replace("_", " "),
                ["instance_id"],
                registry=self._registry,
            )
            for name in self.NUMBERS
        }
        self._state = Gauge(
            "metabonk_worker_stream_state",
            "1 for the state that the stream is in",
            ["instance_id", "state"],
            registry=self._registry,
        )

    def text(self) -> bytes:
        status = self._status()
        for name, gauge in self._gauges.items():
            value = getattr(status, name)
            if value is not None:
                gauge.labels(status.instance_id).set(value)
        for state in StreamState:
            self._state.labels(status.instance_id, state).set(state is status.stream_state)
        return generate_latest(self._registry)
