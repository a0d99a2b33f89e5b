"""Live streaming while another worker trains: time to the first frame, frame rate and losses.

``python -m benchmarks.live [--seconds 60] [--json FILE]`` starts a real fleet of two workers with
one software encoder session twice, decodes its stream and prints one value per measurement.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import av
import httpx
from rich.console import Console
from rich.table import Table
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.workers import StreamState, WorkerStatus


def measure(seconds: float) -> dict[str, float]:
    """Run a fleet twice and watch it for ``seconds`` the second time."""
    # Fixed quality; benchmarks/overload.py measures adaptive quality.
    environment = {"METABONK_CPU_MAX_SESSIONS": "1", "METABONK_STREAM_ADAPTIVE": "0"}
    with tempfile.TemporaryDirectory() as folder:
        # The first start probes the encoders; the second one uses the cached results.
        began = time.monotonic()
        with run_fleet(Path(folder), "--workers", "2", environment=environment) as fleet:
            _, first_s = _wait_for_frame(fleet, began)
            fleet.stop()
        began = time.monotonic()
        with run_fleet(Path(folder), "--workers", "2", environment=environment) as fleet:
            page_s, frame_s = _wait_for_frame(fleet, began)
            result = _watch(fleet, seconds)
            result["stop_s"] = fleet.stop()
    return {
        "first_start_frame_s": first_s,
        "page_s": page_s,
        "frame_s": frame_s,
        **result,
    }


def _wait_for_frame(fleet: FleetUnderTest, began: float) -> tuple[float, float]:
    """Return the seconds until the page responded and until a stream's first frame was decoded."""
    until("the page answers", lambda: httpx.get(f"{fleet.page}/").is_success, 60)
    page_s = time.monotonic() - began
    until("a worker is live", lambda: fleet.in_state(StreamState.LIVE), 60)
    url = fleet.in_state(StreamState.LIVE)[0].stream_url
    with av.open(url, timeout=20) as container:
        next(container.decode(video=0))
    return page_s, time.monotonic() - began


def _watch(fleet: FleetUnderTest, seconds: float) -> dict[str, float]:
    until(
        "the other worker plays", lambda: [s.step > 0 for s in _statuses(fleet)] == [True] * 2, 60
    )
    live = fleet.in_state(StreamState.LIVE)[0]
    standby = next(s for s in _statuses(fleet) if s.instance_id != live.instance_id)
    decoded, began = 0, time.monotonic()
    before = fleet.statuses()
    with av.open(live.stream_url, timeout=20) as container:
        for _ in container.decode(video=0):
            decoded += 1
            if time.monotonic() - began > seconds:
                break
    elapsed = time.monotonic() - began
    after = fleet.statuses()

    def rate(name: str, worker: str) -> float:
        return float(getattr(after[worker], name) - getattr(before[worker], name)) / elapsed

    return {
        "watched_s": elapsed,
        "decoded_fps": decoded / elapsed,
        "encoded_fps": rate("frames_ok", live.instance_id),
        "frames_dropped": float(
            after[live.instance_id].frames_dropped - before[live.instance_id].frames_dropped
        ),
        "live_steps_per_s": rate("step", live.instance_id),
        "standby_steps_per_s": rate("step", standby.instance_id),
        "standby_over_live": rate("step", standby.instance_id) / rate("step", live.instance_id),
    }


def _statuses(fleet: FleetUnderTest) -> list[WorkerStatus]:
    return list(fleet.statuses().values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.seconds)
    table = Table("measurement", "value", title=f"{platform.machine()}, {platform.platform()}")
    for name, value in result.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
