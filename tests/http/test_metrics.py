"""``metabonk.http.metrics``: gauges read from a model."""

from enum import StrEnum

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, Field

from metabonk.http.metrics import ModelCollector, metrics_routes
from tests.support.serving import served


class Kind(StrEnum):
    GOOD = "good"


class Reading(BaseModel):
    name: str = "omega-0"
    kind: Kind = Kind.GOOD
    pid: int = 17
    steps: int = Field(12, description="policy steps")
    rate_per_s: float = 7.5
    limit: int | None = None
    enabled: bool = True


def scrape(collector: ModelCollector[Reading]) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_every_number_is_a_gauge_under_its_field_s_name_and_description():
    families = text_string_to_metric_families(scrape(ModelCollector(Reading, "fleet")))
    assert {(f.name, f.documentation, f.type, *(s.value for s in f.samples)) for f in families} == {
        ("fleet_steps", "policy steps", "gauge", 12.0),
        ("fleet_rate_per_s", "rate per s", "gauge", 7.5),
        ("fleet_limit", "limit", "gauge"),
    }


def test_labels_are_fields_of_the_model():
    text = scrape(ModelCollector(Reading, "fleet", ["name", "kind"]))
    assert 'fleet_steps{kind="good",name="omega-0"} 12.0' in text


def test_extra_metrics_come_from_the_same_reading():
    readings = []

    def read() -> Reading:
        readings.append(Reading(steps=len(readings)))
        return readings[-1]

    collector = ModelCollector(
        read, "fleet", extra=lambda reading: [GaugeMetricFamily("twice", "", 2 * reading.steps)]
    )
    scrape(collector)
    second = scrape(collector)
    assert "fleet_steps 1.0" in second
    assert "twice 2.0" in second
    assert len(readings) == 2


def test_the_route_serves_prometheus_text():
    app = FastAPI()
    app.include_router(metrics_routes(ModelCollector(Reading, "fleet")))
    with served(app) as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "fleet_steps 12.0" in answer.text
