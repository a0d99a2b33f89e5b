"""Prometheus metrics, read from a status object at each scrape."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel
from starlette.responses import Response

NUMERIC = (int, float, int | None, float | None)
IDENTIFIERS = frozenset({"pid"})
"""Numeric fields that measure nothing."""

M = TypeVar("M", bound=BaseModel)


class ModelCollector(Collector, Generic[M]):
    """Gauges for the numeric fields of a pydantic model.

    A field that is None has no sample: unknown is not zero.

    Args:
        status: returns the model; called once a scrape, on any thread.
        prefix: of every metric's name, before ``_<field>``.
        labels: fields whose values label every sample.
        extra: further metrics from the same reading.
    """

    def __init__(
        self,
        status: Callable[[], M],
        prefix: str,
        labels: Sequence[str] = (),
        extra: Callable[[M], Iterable[Metric]] = lambda model: (),
    ) -> None:
        self._status = status
        self._prefix = prefix
        self._labels = tuple(labels)
        self._extra = extra

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge a field, then the extra metrics; called by prometheus-client."""
        model = self._status()
        labels = [str(getattr(model, name)) for name in self._labels]
        for name, field in type(model).model_fields.items():
            if field.annotation not in NUMERIC or name in IDENTIFIERS:
                continue
            text = field.description or name.replace("_", " ")
            gauge = GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=self._labels)
            if (value := getattr(model, name)) is not None:
                gauge.add_metric(labels, value)
            yield gauge
        yield from self._extra(model)


def metrics_routes(collector: Collector) -> APIRouter:
    """Return the ``/metrics`` route of one process."""
    registry = CollectorRegistry()
    registry.register(collector)
    router = APIRouter()

    @router.get("/metrics", response_class=PlainTextResponse)
    def get_metrics() -> Response:
        """Prometheus text."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
