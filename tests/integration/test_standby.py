"""A real fleet on a simulated NVIDIA driver: standby workers train at full speed."""

import statistics
import time
from pathlib import Path

import pytest

from metabonk.messages.workers import StreamState, WorkerStatus
from tests.integration.test_sessions import answers, environment_on, live, stopped_cleanly
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

ATTEMPTS = 3
"""Other programs may need the CPU during one of the measurements."""


def test_standby_workers_lose_no_speed_to_live_ones(tmp_path: Path):
    """Another program takes both sessions for a while, so that no worker is live."""
    driver = SimulatedDriver(tmp_path / "driver", cap=4)
    environment = environment_on(driver, NVENC_MAX_SESSIONS=2, FEATURED_ROTATE_S=600)
    arguments = ("--workers", "4", "--game", "doom:basic")

    def standby_rate(fleet: FleetUnderTest, live_workers: int) -> float:
        def settled() -> list[WorkerStatus]:
            standby = fleet.in_state(StreamState.STANDBY)
            is_right = len(live(fleet)) == live_workers and len(standby) == 4 - live_workers
            return standby if is_right else []

        before, began = until("the fleet settles", settled, 120), time.monotonic()
        time.sleep(8)
        after, elapsed = fleet.statuses(), time.monotonic() - began
        assert len(live(fleet)) == live_workers
        return statistics.fmean((after[s.instance_id].step - s.step) / elapsed for s in before)

    rates: list[tuple[float, float]] = []
    with (
        run_fleet(tmp_path, *arguments, environment=environment) as fleet,
        stopped_cleanly(fleet, driver),
    ):
        while len(rates) < ATTEMPTS and not any(beside >= alone for alone, beside in rates):
            with driver.external_sessions(2):
                until("all play", lambda: [s.step > 50 for s in statuses(fleet)] == [True] * 4, 180)
                alone = standby_rate(fleet, 0)
            rates.append((alone, standby_rate(fleet, 2)))
            assert answers(fleet, 4) == [200, 200, 503, 503]
    alone, beside = rates[-1]
    assert beside >= alone, rates
    assert driver.events("refused") == []


def statuses(fleet: FleetUnderTest) -> list[WorkerStatus]:
    return list(fleet.statuses().values())
