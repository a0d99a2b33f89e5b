"""Eight live workers on two cores: pictures become less by plan, and nothing else suffers."""

import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest

from metabonk.messages import StreamState, WorkerStatus
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

WORKERS = 8
CORES = 2
ARGUMENTS = ("--mode", "train", "--workers", str(WORKERS), "--stream-profile", "rtx5090_webrtc_8")
NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"
RESPONSIVE_S = 0.2
REDUCED = "instead of 1280×720 at 30: this machine can't keep up)"


@contextmanager
def two_cores() -> Iterator[None]:
    """For whatever is started in the block: with more of them nothing would be too much."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def live(fleet: FleetUnderTest) -> list[WorkerStatus]:
    return fleet.in_state(StreamState.LIVE)


def shows_a_picture(worker: WorkerStatus) -> bool:
    """Whether its stream decodes; one that steps just now ends, and the next try sees the new."""
    try:
        with av.open(worker.stream_url, timeout=20) as container:
            return next(container.decode(video=0)).width > 0
    except (av.error.FFmpegError, StopIteration):
        return False


def keeps_up(fleet: FleetUnderTest) -> list[WorkerStatus] | None:
    """Whether all are live, and as many frames come as their qualities promise."""
    workers = live(fleet)
    promised = sum(worker.stream_target_fps or 0 for worker in workers)
    come = sum(worker.frames_fps for worker in workers)
    return workers if len(workers) == WORKERS and come >= 0.9 * promised else None


def answers_in_s(client: httpx.Client, address: str) -> float:
    """95th percentile of fifty answers, seconds."""
    taken = []
    for _ in range(50):
        began = time.monotonic()
        client.get(address).raise_for_status()
        taken.append(time.monotonic() - began)
        time.sleep(0.05)
    return statistics.quantiles(taken, n=20)[-1]


def test_eight_workers_are_watchable_at_once_at_what_two_cores_hold(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    environment = {**driver.environment, "METABONK_STREAM_ENGINE": "av"}
    with two_cores(), run_fleet(tmp_path, *ARGUMENTS, environment=environment) as fleet:
        until("all are live", lambda: len(live(fleet)) == WORKERS, 90)
        until("it is said", lambda: any(w.stream_quality for w in live(fleet)), 30)
        ask = ("nvenc", "status", "--workers", str(WORKERS))
        until("so does the command", lambda: REDUCED in fleet.command(*ask).stdout, 30)
        before = {worker.instance_id: worker.step for worker in live(fleet)}
        workers = until("they keep up", lambda: keeps_up(fleet), 60)
        for worker in workers:
            wanted = worker.spectator_width, worker.spectator_height, worker.stream_target_fps
            assert (worker.stream_quality is None) == (wanted == (1280, 720, 30))
            until(f"{worker.instance_id} is watchable", lambda w=worker: shows_a_picture(w), 20)
        with httpx.Client(trust_env=False) as client:
            address = f"{fleet.orchestrator}/workers"
            until("it answers soon", lambda: answers_in_s(client, address) < RESPONSIVE_S, 30)
        after = {worker.instance_id: worker.step for worker in live(fleet)}
        assert all(after[name] > step for name, step in before.items())
        assert Counter(worker.stream_backend for worker in live(fleet)) == {NVENC: 2, SOFTWARE: 6}
        fleet.stop()
        assert fleet.process.returncode == 0
    until("no session is left open", lambda: driver.open_now() == 0, 5)
    assert driver.events("refused") == []
    assert driver.most_open() == 2
    said = "".join(fleet.log(f"omega-{index}") for index in range(WORKERS))
    assert "goes on with" in said
    assert "Traceback" not in said
