"""Prometheus metrics of the whole fleet."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from metabonk.messages import StreamState
from metabonk.orchestrator.fleet import FleetState


class FleetMetrics(Collector):
    """Figures of the fleet as a whole; every worker and the learner serve their own.

    Args:
        state: of the fleet.
        restarts: name of each process → how often it was started again.
    """

    def __init__(self, state: FleetState, restarts: Callable[[], Mapping[str, int]]) -> None:
        self._state = state
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks for at a scrape."""
        fleet = self._state.fleet()
        workers = GaugeMetricFamily(
            "metabonk_workers", "workers by the state of their stream", labels=["state"]
        )
        for state in StreamState:
            of_state = [w for w in fleet.workers.values() if w.stream_state is state]
            workers.add_metric([state], len(of_state))
        yield workers
        yield GaugeMetricFamily(
            "metabonk_encoder_sessions", "sessions the fleet may hold", self._state.capacity.total
        )
        yield GaugeMetricFamily(
            "metabonk_steps_per_second",
            "policy decisions of all workers",
            sum(worker.steps_per_s for worker in fleet.workers.values()),
        )
        yield GaugeMetricFamily(
            "metabonk_problems", "things a person should know", len(fleet.problems)
        )
        yield CounterMetricFamily(
            "metabonk_episodes", "finished episodes of this run", self._state.store.episodes
        )
        yield CounterMetricFamily(
            "metabonk_episode_steps",
            "policy decisions of finished episodes of this run",
            self._state.store.fleet_step,
        )
        restarts = CounterMetricFamily(
            "metabonk_restarts", "processes started again after they died", labels=["process"]
        )
        for name, count in self._restarts().items():
            restarts.add_metric([name], count)
        yield restarts
