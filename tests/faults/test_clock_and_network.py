"""Clock jumps, lost messages and a suspended orchestrator go unnoticed by viewers.

The clock of a fleet that plays and learns jumps in ``test_soak``.
"""

import json
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from metabonk.messages.workers import StreamState, WorkerStatus
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.network_line import Line
from tests.support.shifted_clock import ShiftedClock
from tests.support.viewer import CLOCK_TOLERANCE_S, Spectator, clock_drifts
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

HOUR_S = 3600
GAP_S = 4.0
"""Longer than a busy machine pauses, shorter than the faults."""

WATCHED_S = 8.0
"""Time after a jump; ``clock_drifts`` needs six seconds without a pause."""

WORKERS = 2
FPS = 15
ENVIRONMENT = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": str(FPS),
    "METABONK_STREAM_BITRATE_KBPS": "300",
    "METABONK_CPU_MAX_SESSIONS": "1",
    # Nobody's turn ends before a viewer is known.
    "METABONK_FEATURED_ROTATE_S": "3600",
}


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> ShiftedClock:
    return ShiftedClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def fleet(
    clock: ShiftedClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    environment = ENVIRONMENT | clock.environment
    with run_gameless_fleet(folder, "--workers", str(WORKERS), environment=environment) as fleet:
        until("both workers are known", lambda: len(fleet.statuses()) == WORKERS, 90)
        until("one is live", lambda: live(fleet), 60)
        yield fleet
        fleet.stop()
        assert "Traceback" not in fleet.log("orchestrator")


def live(fleet: FleetUnderTest) -> WorkerStatus | None:
    return next(iter(fleet.in_state(StreamState.LIVE)), None)


def pids(fleet: FleetUnderTest) -> dict[str, int]:
    return {name: status.pid for name, status in fleet.statuses().items()}


def problems(fleet: FleetUnderTest) -> list[str]:
    answer = http.get(f"{fleet.page}/api/fleet").raise_for_status().json()
    return [problem["message"] for problem in answer["problems"]]


def seen_clock(fleet: FleetUnderTest) -> float:
    """Return how far the fleet's clock was ahead when its last episode ended, seconds."""
    newest = http.get(f"{fleet.page}/api/episodes?limit=1").raise_for_status().json()
    return float(newest[0]["ended_at"]) - time.time() if newest else 0.0


def drifts_since(spectator: Spectator, began: float) -> list[float]:
    """Return the ``clock_drifts`` of stretches that are long enough and still continue."""
    return [
        drift
        for stretch in tuple(spectator.stretches)
        if (arrivals := tuple(stretch.arrivals)) and arrivals[-1].at - began > WATCHED_S
        for drift in clock_drifts(arrivals, FPS)
    ]


def played_on(fleet: FleetUnderTest, since: dict[str, WorkerStatus]) -> bool:
    return all(status.step >= since[name].step + 20 for name, status in fleet.statuses().items())


def is_healthy(fleet: FleetUnderTest) -> bool:
    """Tell whether there is no problem, all workers report, and one of them is live."""
    return (
        not problems(fleet)
        and len(fleet.statuses()) == WORKERS
        and len(fleet.in_state(StreamState.LIVE)) == 1
        and len(fleet.in_state(StreamState.STANDBY)) == WORKERS - 1
    )


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_a_clock_jump_changes_nothing(fleet: FleetUnderTest, clock: ShiftedClock, ahead_s: int):
    until("the fleet is healthy", lambda: is_healthy(fleet), 60)
    before, processes = fleet.statuses(), pids(fleet)
    shown = live(fleet)
    assert shown is not None
    with Spectator(fleet.worker(shown.worker_index)) as spectator:
        until("it is watched", lambda: len(spectator.arrivals()) > 5, 60)
        began = time.monotonic()
        clock.shift(ahead_s)
        until("the fleet has seen it", lambda: abs(seen_clock(fleet) - ahead_s) < 60, 30)
        until("all continue to play", lambda: played_on(fleet, before), 60)
        drifts = until("its clock can be judged", lambda: drifts_since(spectator, began), 60)
        gap = spectator.longest_gap(began, time.monotonic())
    print(
        f"\njump of {ahead_s:+d} s: longest gap {gap * 1000:.0f} ms, stream's clock off by "
        f"{max(drifts) * 1000:.0f} ms"
    )
    assert gap < GAP_S
    assert max(drifts) < CLOCK_TOLERANCE_S
    assert pids(fleet) == processes, "no worker was taken for dead or hung"
    until("the fleet is healthy", lambda: is_healthy(fleet), 60)


def test_viewers_do_not_notice_a_suspended_orchestrator(fleet: FleetUnderTest, long: bool):
    pause_s = 30.0 if long else 7.0
    until("the fleet is healthy", lambda: is_healthy(fleet), 60)
    processes, shown = pids(fleet), live(fleet)
    assert shown is not None
    with Spectator(fleet.worker(shown.worker_index)) as spectator:
        until("it is watched", lambda: len(spectator.arrivals()) > 5, 60)
        began = time.monotonic()
        orchestrator = psutil.Process(fleet.process.pid)
        orchestrator.send_signal(signal.SIGSTOP)
        try:
            until("it was suspended for long", lambda: time.monotonic() - began > pause_s, 60)
        finally:
            orchestrator.send_signal(signal.SIGCONT)
        back = time.monotonic()
        until("the fleet is healthy", lambda: is_healthy(fleet), 60)
        healthy_s = time.monotonic() - back
        until("four seconds have passed", lambda: time.monotonic() - back > 4, 10)
        gap = spectator.longest_gap(began, time.monotonic())
    print(
        f"\norchestrator suspended for {pause_s:.0f} s: longest gap {gap * 1000:.0f} ms, healthy "
        f"{healthy_s:.1f} s after it continued"
    )
    assert gap < GAP_S
    assert pids(fleet) == processes
    still = live(fleet)
    assert still is not None and still.instance_id == shown.instance_id


def test_lost_heartbeats_do_no_harm(fleet: FleetUnderTest, long: bool):
    """Reroute one worker's heartbeats; must be the last test of the shared fleet."""
    pause_s = 30.0 if long else 6.5
    (settings_file,) = fleet.folder.glob("runs/*/settings.json")
    with Line(int(fleet.orchestrator.rsplit(":", 1)[1])) as line:
        settings = json.loads(settings_file.read_text())
        settings["ports"]["orchestrator"] = line.port
        settings_file.write_text(json.dumps(settings))
        psutil.Process(fleet.statuses()["omega-0"].pid).kill()
        until("omega-0 is back, through the line", lambda: line.connections > 0, 60)
        with Spectator(fleet.worker(0)) as spectator:
            until("omega-0 is watched and live", lambda: len(spectator.arrivals()) > 15, 60)
            until("the fleet is healthy", lambda: is_healthy(fleet), 60)
            processes, before = pids(fleet), fleet.statuses()
            began = time.monotonic()
            line.cut()
            until(
                "its silence is shown",
                lambda: any(
                    "omega-0 has sent no heartbeat" in message for message in problems(fleet)
                ),
                40,
            )
            until(
                "the other worker continues to play",
                lambda: fleet.statuses()["omega-1"].step > before["omega-1"].step,
                30,
            )
            until("it was silent for long", lambda: time.monotonic() - began > pause_s, 60)
            gap = spectator.longest_gap(began, time.monotonic())
            line.mend()
            back = time.monotonic()
            until("the fleet is healthy", lambda: is_healthy(fleet), 60)
            healthy_s = time.monotonic() - back
        print(
            f"\nheartbeats lost for {pause_s:.0f} s: longest gap meanwhile {gap * 1000:.0f} ms, "
            f"healthy {healthy_s:.1f} s after they came back"
        )
        assert gap < GAP_S
        assert pids(fleet) == processes, "silence alone is no reason to end a process"
        until(
            "its counters continue",
            lambda: fleet.statuses()["omega-0"].step > before["omega-0"].step,
            20,
        )
