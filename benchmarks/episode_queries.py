"""Latency of questions about episodes, and of heartbeats beside viewers, by length of the run.

``python -m benchmarks.episode_queries [--rows 10000,1000000] [--seconds 20] [--json FILE]`` writes
databases as an earlier version left them, resumes a run with one, and asks the orchestrator over
HTTP. Ten million episodes, the largest of the default, take 3 GB of disk meanwhile.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.support.earlier_runs import write_episodes
from tests.support.serving import free_port
from tests.support.statuses import episode, heartbeat
from tests.support.waiting import until

from metabonk.encoding.sessions import open_pools
from metabonk.http.server import HttpServer
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import EPISODES_FILE, save_settings
from metabonk.settings import Settings

WORKERS = 8
EPISODES_A_HEARTBEAT = 2
HEARTBEAT_S = 0.5
VIEWERS = 3
REPEATS = 7
TIMEOUT_S = 300.0
JSON = {"Content-Type": "application/json"}

# What the pages ask, see web/src/api/queries.ts.
WORKER_PAGE = {
    "worker's curve": "/api/curve?points=2000&worker=0",
    "worker's newest": "/api/episodes?limit=20&worker=0",
}
RUNS_PAGE = {
    "all runs": "/api/runs",
    "run's curve": "/api/runs/now/curve?points=2000",
    "other run's curve": "/api/runs/old/curve?points=2000",
    "run's best": "/api/runs/now/episodes?order=best&limit=10",
}
OTHERS = {
    "worker's best": "/api/episodes?order=best&limit=10&worker=0",
    "newest of all": "/api/episodes?limit=100",
    "other run's best": "/api/runs/old/episodes?order=best&limit=10",
}


def serve(run_dir: Path, port: int) -> None:
    """Serve the orchestrator's API over a run until standard input is closed."""
    settings = Settings.model_validate(
        {
            "workers": WORKERS,
            "paths": {"runs": run_dir.parent, "logs": run_dir},
            "nvenc": {"slot_dir": run_dir},
        }
    )
    started = time.perf_counter()
    store = EpisodeStore(run_dir, settings.game)
    state = FleetState(settings, store)
    print(time.perf_counter() - started, flush=True)
    api, _ = make_apps(state, dict, open_pools(settings), make_replays(settings), None)
    HttpServer(api, "127.0.0.1", port).start()
    sys.stdin.read()
    store.close()


@contextlib.contextmanager
def served(run_dir: Path) -> Iterator[tuple[str, float]]:
    """Serve a run from another process; yield its address, and how long it took to open."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.episode_queries", "--serve", str(run_dir)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        open_s = float(process.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        until("it answers", lambda: _answers(f"{url}/healthz"), TIMEOUT_S)
        yield url, open_s
    finally:
        process.stdin.close()
        process.wait()


def measure(folder: Path, rows: int, seconds: float) -> dict[str, float]:
    """Return milliseconds by question, for a run of so many episodes."""
    result: dict[str, float] = {"episodes": rows}
    for name in ("now", "old"):
        (folder / name).mkdir()
        save_settings(Settings(game="doom:basic"), folder / name)
    write_episodes(folder / "old", rows, workers=WORKERS)
    shutil.copy(folder / "old" / EPISODES_FILE, folder / "now")
    with served(folder / "now") as (url, open_s):
        started = time.perf_counter()
        until("the curve is complete", lambda: _episodes(url) == rows, TIMEOUT_S)
        result["first open"] = 1000 * open_s
        # The file can be written again once the indexes are there.
        with httpx.Client(timeout=TIMEOUT_S) as client:
            _beat(client, url, 0, rows)
            until("new episodes are in it", lambda: _episodes(url) > rows, TIMEOUT_S)
        result["upgrade beside the fleet"] = 1000 * (time.perf_counter() - started)
    with served(folder / "now") as (url, open_s):
        result["resume"] = 1000 * open_s
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            _ask(client, "/healthz")
            for name, path in (WORKER_PAGE | RUNS_PAGE | OTHERS).items():
                times = [_ask(client, path) for _ in range(REPEATS)]
                result[f"{name}, first"] = 1000 * times[0]
                result[name] = 1000 * statistics.median(times[1:])
        alone = _heartbeats(url, rows, seconds, viewers=0)
        beside = _heartbeats(url, rows + 1_000_000, seconds, viewers=VIEWERS)
        result |= {f"heartbeat alone, {name}": value for name, value in alone.items()}
        result |= {f"heartbeat beside viewers, {name}": value for name, value in beside.items()}
    for name in ("now", "old"):
        shutil.rmtree(folder / name)
    return result


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).is_success
    return False


def _episodes(url: str) -> int:
    points = httpx.get(f"{url}/api/curve?points=10000", timeout=TIMEOUT_S).json()
    return sum(point["episodes"] for point in points)


def _ask(client: httpx.Client, path: str) -> float:
    started = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - started


def _beat(client: httpx.Client, url: str, index: int, number: int) -> float:
    ended = [episode(number + each, index) for each in range(EPISODES_A_HEARTBEAT)]
    body = heartbeat(index, *ended).model_dump_json()
    started = time.perf_counter()
    client.post(f"{url}/api/heartbeat", content=body, headers=JSON).raise_for_status()
    return time.perf_counter() - started


def _heartbeats(url: str, first: int, seconds: float, viewers: int) -> dict[str, float]:
    """Return how long heartbeats take, ms, while viewers poll as often as the pages do."""
    end = time.monotonic() + seconds
    times: list[float] = []

    def worker(index: int) -> None:
        number = first
        with httpx.Client(timeout=TIMEOUT_S) as client:
            while time.monotonic() < end:
                number += EPISODES_A_HEARTBEAT
                times.append(_beat(client, url, index, number))
                time.sleep(HEARTBEAT_S)

    def viewer(paths: Sequence[str], interval_s: float) -> None:
        with httpx.Client(timeout=TIMEOUT_S) as client:
            while time.monotonic() < end:
                for path in paths:
                    client.get(url + path)
                time.sleep(interval_s)

    threads = [threading.Thread(target=worker, args=(index,)) for index in range(WORKERS)]
    for _ in range(viewers):
        threads.append(threading.Thread(target=viewer, args=(list(WORKER_PAGE.values()), 2.0)))
        threads.append(threading.Thread(target=viewer, args=(list(RUNS_PAGE.values()), 5.0)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(times)
    return {
        "median": 1000 * statistics.median(ordered),
        "longest": 1000 * ordered[-1],
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="10000,1000000,10000000")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.port)
        return
    results = []
    for rows in map(int, arguments.rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder), rows, arguments.seconds))
    table = Table("milliseconds", *(f"{int(result['episodes']):,}" for result in results))
    for name in list(results[0])[1:]:
        table.add_row(name, *(f"{result[name]:,.1f}" for result in results))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
