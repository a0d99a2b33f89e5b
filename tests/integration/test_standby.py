"""A real fleet on a simulated NVIDIA driver: standby workers train at full speed."""

import statistics
import time
from pathlib import Path

import pytest

from metabonk.messages import StreamState, WorkerStatus
from tests.integration.test_sessions import answers, environment_on, live, stopped_cleanly
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)


def test_standby_workers_lose_no_speed_to_live_ones(tmp_path: Path):
    """Another program holds both sessions first, so that no worker is live."""
    driver = SimulatedDriver(tmp_path / "driver", cap=4)
    environment = environment_on(driver, NVENC_MAX_SESSIONS=2, FEATURED_ROTATE_S=600)
    arguments = ("--workers", "4", "--game", "doom:basic")

    def standby_rate(fleet: FleetUnderTest, live_workers: int) -> float:
        until("the fleet settles", lambda: len(live(fleet)) == live_workers, 30)

        def steps() -> dict[str, int]:
            standby = fleet.in_state(StreamState.STANDBY)
            return {status.instance_id: status.step for status in standby}

        before, began = steps(), time.monotonic()
        time.sleep(8)
        elapsed, after = time.monotonic() - began, steps()
        assert len(before) == 4 - live_workers
        return statistics.fmean((after[name] - before[name]) / elapsed for name in before)

    with (
        run_fleet(tmp_path, *arguments, environment=environment) as fleet,
        stopped_cleanly(fleet, driver),
    ):
        with driver.external_sessions(2):
            until("all play", lambda: [s.step > 50 for s in statuses(fleet)] == [True] * 4, 90)
            alone = standby_rate(fleet, 0)
        until("both sessions are taken", lambda: len(live(fleet)) == 2, 60)
        assert answers(fleet, 4) == [200, 200, 503, 503]
        assert standby_rate(fleet, 2) >= alone
    assert driver.events("refused") == []


def statuses(fleet: FleetUnderTest) -> list[WorkerStatus]:
    return list(fleet.statuses().values())
