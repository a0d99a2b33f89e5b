"""More live streams than cores: the quality they settle at, and its effect on training.

``python -m benchmarks.overload [--workers 8] [--seconds 120] [--fixed] [--json FILE]`` starts a
real fleet with the profile ``rtx5090_webrtc_8`` and prints a row every ten seconds. ``--fixed``
disables adaptive quality, for comparison.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.fleet import FleetUnderTest, run_fleet

from metabonk.messages.workers import StreamState, WorkerStatus

SAMPLE_S = 10.0
PAUSE_S = 0.05


def measure(workers: int, seconds: float, *, fixed: bool) -> list[dict[str, float | str]]:
    """Return a sample every ten seconds from the start."""
    environment = {"METABONK_STREAM_ADAPTIVE": "0" if fixed else "1"}
    arguments = ("--workers", str(workers), "--stream-profile", "rtx5090_webrtc_8")
    samples = []
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), *arguments, environment=environment) as fleet,
        httpx.Client(trust_env=False) as client,
    ):
        began = time.monotonic()
        before: list[WorkerStatus] = []
        while time.monotonic() - began < seconds:
            times = _response_times(client, fleet)
            now = list(fleet.statuses().values()) if times else []
            samples.append({"after_s": time.monotonic() - began, **_sample(before, now, times)})
            before = now
        fleet.stop()
    return samples


def _response_times(client: httpx.Client, fleet: FleetUnderTest) -> list[float]:
    """Measure responses of ``/workers`` for ten seconds, seconds each; none before it is up."""
    times, until = [], time.monotonic() + SAMPLE_S
    while (began := time.monotonic()) < until:
        try:
            client.get(f"{fleet.orchestrator}/workers").raise_for_status()
        except httpx.ConnectError:
            times.clear()
        else:
            times.append(time.monotonic() - began)
        time.sleep(PAUSE_S)
    return times


def _sample(
    before: list[WorkerStatus], now: list[WorkerStatus], times: list[float]
) -> dict[str, float | str]:
    live = [status for status in now if status.stream_state is StreamState.LIVE]
    shapes = Counter(f"{s.spectator_height}@{s.stream_target_fps}" for s in live)
    return {
        "live": len(live),
        "qualities": ", ".join(f"{count}× {shape}" for shape, count in shapes.most_common()),
        "fps_target": sum(status.stream_target_fps or 0 for status in live),
        "fps_drawn": sum(status.frames_fps for status in live),
        "dropped": _total("frames_dropped", now) - _total("frames_dropped", before),
        "steps_per_s": (_total("step", now) - _total("step", before)) / SAMPLE_S,
        "workers_p95_ms": 1000 * statistics.quantiles(times, n=20)[-1] if times else 0.0,
    }


def _total(name: str, statuses: list[WorkerStatus]) -> float:
    return float(sum(getattr(status, name) for status in statuses))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    samples = measure(arguments.workers, arguments.seconds, fixed=arguments.fixed)
    table = Table(*samples[0], title=f"{platform.machine()}, {platform.platform()}")
    for sample in samples:
        values = sample.values()
        table.add_row(*(v if isinstance(v, str) else f"{v:.0f}" for v in values))
    Console(width=120).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=2) + "\n")


if __name__ == "__main__":
    main()
