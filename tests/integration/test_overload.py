"""Eight live workers on two cores: streams are reduced as planned, and nothing else suffers.

They are started by the documented command with the profile for eight, on a simulated NVIDIA driver
of two sessions, so that six of them encode in software.
"""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import av
import httpx
import pytest

from metabonk.messages.program import PROGRAM
from metabonk.messages.workers import StreamState, WorkerStatus
from tests.integration.conftest import LIMIT
from tests.integration.test_operations import EIGHT, STOP
from tests.support import http
from tests.support.checkout import Terminal, statuses
from tests.support.machine_speed import SLOWNESS
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.waiting import GENEROUS_S, until

pytestmark = pytest.mark.timeout(1200)

WORKERS = 8
CORES = 2
FULL_SIZE = "unset METABONK_STREAM_WIDTH METABONK_STREAM_HEIGHT METABONK_STREAM_FPS"
NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"
NAMES = [f"omega-{index}" for index in range(WORKERS)]
LOWEST = (640, 360, 15)
"""Width, height and frames per second of the last quality that such a stream is reduced to."""

RESPONSIVE_S = 0.2 * SLOWNESS
REDUCED = "instead of 1280×720 at 30: this machine can't keep up with "


@contextmanager
def two_cores() -> Iterator[None]:
    """Restrict processes started in the block to two cores; more would not be overloaded."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def live_workers() -> list[WorkerStatus]:
    return [each for each in statuses().values() if each.stream_state is StreamState.LIVE]


def backends_in_use() -> Counter[str]:
    return Counter(worker.stream_backend for worker in live_workers())


def shows_a_frame(worker: WorkerStatus) -> bool:
    """Tell whether its stream decodes; a stream ends when its quality changes."""
    try:
        with av.open(worker.stream_url, timeout=20) as container:
            return next(container.decode(video=0)).width > 0
    except (av.error.FFmpegError, StopIteration):
        return False


def quality_of(worker: WorkerStatus) -> tuple[int | None, int | None, int | None]:
    return worker.spectator_width, worker.spectator_height, worker.stream_target_fps


def workers_with_all_they_can_have() -> list[WorkerStatus] | None:
    """Return the workers if all are live, and deliver the frames promised or promise the least."""
    workers = live_workers()
    promised = sum(worker.stream_target_fps or 0 for worker in workers)
    delivered = sum(worker.frames_fps for worker in workers)
    keep_up = delivered >= 0.9 * promised or all(quality_of(w) == LOWEST for w in workers)
    return workers if len(workers) == WORKERS and keep_up else None


def response_time_s(client: httpx.Client, address: str) -> float:
    """Return the 95th percentile of fifty response times, seconds."""
    times = []
    for _ in range(50):
        began = time.monotonic()
        client.get(address).raise_for_status()
        times.append(time.monotonic() - began)
        time.sleep(0.05)
    return statistics.quantiles(times, n=20)[-1]


@pytest.fixture(scope="module")
def eight(terminal: Terminal) -> Terminal:
    """Return the terminal after eight workers have been started in it."""
    with two_cores():
        output = terminal.begin(f"{FULL_SIZE}; {EIGHT}")
    names = ["learner", "go2rtc", *NAMES]
    until("all are listed", lambda: all(f"{n}: " in output.read_text() for n in names), 120)
    until("all are live", lambda: len(live_workers()) == WORKERS, 240)
    return terminal


def test_the_profile_lets_software_substitute_for_sessions(eight: Terminal):
    address = "http://127.0.0.1:5173/api/fleet"
    fleet = until("the page answers", lambda: http.get(address).raise_for_status(), 60)
    run = eight.folder / "runs" / fleet.json()["run"]
    settings = json.loads((run / "settings.json").read_text())
    assert settings["nvenc"]["max_sessions"] == LIMIT
    assert settings["stream"]["allow_cpu_fallback"] is True
    assert settings["cpu"]["max_sessions"] == WORKERS
    expected = {NVENC: LIMIT, SOFTWARE: WORKERS - LIMIT}
    until("six encode in software", lambda: backends_in_use() == expected, 60)


def test_go2rtc_serves_every_worker(eight: Terminal):
    output = eight.folder / "terminal-0.txt"
    until("go2rtc runs", lambda: "go2rtc: running" in output.read_text(), 60)
    address = "http://127.0.0.1:1984/api/streams"
    # Its port says so too while it starts.
    streams = until("go2rtc answers", lambda: http.get(address).raise_for_status(), 60)
    assert list(streams.json()) == [PROGRAM, *NAMES]


def test_all_are_watchable_at_a_reduced_quality(eight: Terminal):
    until("a quality is reduced", lambda: any(w.stream_quality for w in live_workers()), 90)
    ask = f"python scripts/nvenc_status.py --workers {WORKERS}"
    until("the command says so", lambda: REDUCED in eight.run(ask).text, 90)
    before = {worker.instance_id: worker.step for worker in live_workers()}
    workers = until("all keep up", workers_with_all_they_can_have, 120)
    for worker in workers:
        assert (worker.stream_quality is None) == (quality_of(worker) == (1280, 720, 30))
        until(f"{worker.instance_id} is watchable", lambda w=worker: shows_a_frame(w), 60)
    with httpx.Client(trust_env=False, timeout=GENEROUS_S) as client:
        address = "http://127.0.0.1:8040/workers"
        until("it responds soon", lambda: response_time_s(client, address) < RESPONSIVE_S, 90)
    until("all train", lambda: all(statuses()[name].step > n for name, n in before.items()), 60)


def test_stop_ends_the_fleet_and_its_go2rtc(eight: Terminal, driver: SimulatedDriver):
    outcome = eight.run(STOP)
    assert outcome.code == 0
    assert "stopped its go2rtc (pid " in outcome.text
    assert eight.running[0].wait(GENEROUS_S) == 0
    until("no session is left open", lambda: driver.open_now() == 0)
    assert driver.events("refused") == []
    assert driver.most_open() == LIMIT
    logs = "".join((eight.folder / "logs" / f"{name}.log").read_text() for name in NAMES)
    assert "switches to" in logs
    assert "Traceback" not in logs
