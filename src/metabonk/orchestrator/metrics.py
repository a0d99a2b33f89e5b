"""Prometheus metrics of the whole fleet; every worker and the learner serve their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from metabonk.messages.air import AirState, AirStatus
from metabonk.messages.alerts import Incident, IncidentKind
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.state import FleetState


class FleetMetrics(Collector):
    """Metrics summed over the fleet, read at each scrape.

    Args:
        state: of the fleet.
        restarts: returns how often each process was restarted, by name.
    """

    def __init__(self, state: FleetState, restarts: Callable[[], Mapping[str, int]]) -> None:
        self._state = state
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called by prometheus-client."""
        fleet, store = self._state.fleet(), self._state.store
        workers = GaugeMetricFamily(
            "metabonk_workers", "workers and guests by stream state", labels=["state"]
        )
        for state in StreamState:
            count = sum(worker.stream_state is state for worker in fleet.workers.values())
            workers.add_metric([state], count)
        yield workers
        elsewhere = sum(node.sessions for node in fleet.nodes if node.state == "present")
        yield GaugeMetricFamily(
            "metabonk_encoder_sessions",
            "sessions the fleet may hold, on all its machines",
            self._state.capacity.total + elsewhere,
        )
        yield GaugeMetricFamily(
            "metabonk_steps_per_second",
            "policy steps of all workers per second",
            sum(worker.steps_per_s for worker in fleet.workers.values()),
        )
        yield GaugeMetricFamily(
            "metabonk_problems", "problems that need an operator", len(fleet.problems)
        )
        yield _incidents(self._state.incidents.active)
        yield from _on_air(self._state.on_air.status())
        if store is not None:
            yield CounterMetricFamily(
                "metabonk_episodes", "finished episodes of this run", store.episodes
            )
            yield CounterMetricFamily(
                "metabonk_episode_steps", "policy steps of this run's episodes", store.fleet_step
            )
        restarts = CounterMetricFamily(
            "metabonk_restarts", "restarts of processes that died", labels=["process"]
        )
        for name, count in self._restarts().items():
            restarts.add_metric([name], count)
        yield restarts


def _incidents(active: Sequence[Incident]) -> Metric:
    """Return how many incidents there are of each kind, none included."""
    metric = GaugeMetricFamily(
        "metabonk_incidents", "incidents that somebody should be woken for", labels=["kind"]
    )
    for kind in IncidentKind:
        metric.add_metric([kind], sum(incident.kind is kind for incident in active))
    return metric


def _on_air(status: AirStatus) -> Iterator[Metric]:
    """Yield how it works to be on air, where that is wanted."""
    if not status.wanted:
        return
    report = status.report
    is_on_air = report is not None and report.state is AirState.ON_AIR
    yield GaugeMetricFamily("metabonk_on_air", "1 while the program is on air", float(is_on_air))
    if report is not None:
        yield CounterMetricFamily(
            "metabonk_air_frames", "frames sent since the process started", report.frames
        )
        yield CounterMetricFamily(
            "metabonk_air_connections", "connections since the process started", report.connections
        )
