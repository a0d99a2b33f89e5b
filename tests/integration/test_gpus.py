"""Several GPUs in real fleets, on a simulated driver: who plays where, with whose sessions."""

from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from metabonk.messages import PoolStatus, StreamState, WorkerStatus
from tests.integration.test_sessions import NVENC, ROTATE_S, SOFTWARE, fleet_on, live, logs
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import OUT_OF_MEMORY, TESLA, UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 150
"""Nothing here measures speed: a machine that does other things as well may take its time."""


def machine(folder: Path, gpus: int, **settings: int | str) -> SimulatedDriver:
    """Every GPU opens one session; CUDA counts the last one first, as if it were the fastest."""
    return SimulatedDriver(
        folder / "driver", gpus=gpus, cap=1, per_gpu=1, fastest=gpus - 1, **settings
    )


def gpus_of(statuses: Iterable[WorkerStatus]) -> dict[int, int | None]:
    return {status.worker_index: status.gpu_index for status in statuses}


def opened_on(driver: SimulatedDriver) -> set[int]:
    return {event.gpu for event in driver.events("opened")}


def live_on(fleet: FleetUnderTest) -> list[int | None]:
    return sorted(gpus_of(fleet.in_state(StreamState.LIVE)).values(), key=str)


def test_each_gpu_shows_one_of_its_two_workers_and_both_pools_stay_full_through_rotations(
    tmp_path: Path,
):
    driver = machine(tmp_path, 2)
    limits = {"NVENC_MAX_SESSIONS": 1, "FEATURED_ROTATE_S": ROTATE_S}
    with fleet_on(driver, tmp_path, 4, **limits) as fleet:
        until("one is live on each", lambda: live_on(fleet) == [0, 1], PATIENCE_S)
        until("all four play", lambda: len(fleet.statuses()) == 4, PATIENCE_S)
        assert gpus_of(fleet.statuses().values()) == {0: 0, 1: 1, 2: 0, 3: 1}
        shown: set[str] = set()

        def all_were_shown() -> bool:
            shown.update(live(fleet))
            return len(shown) == 4

        until("everybody had a turn", all_were_shown, PATIENCE_S)
        until("one is live on each again", lambda: live_on(fleet) == [0, 1], PATIENCE_S)
        check_what_is_said(fleet)
    assert driver.events("refused") == []
    assert opened_on(driver) == {0, 1}
    said = logs(fleet, 4)
    assert "OpenEncodeSessionEx failed" not in said
    assert said.count("Acquired NVENC session") == said.count("Released NVENC session")
    for worker in range(4):
        acquired = [
            line for line in fleet.log(f"omega-{worker}").splitlines() if "Acquired" in line
        ]
        assert acquired and all(f"gpu={worker % 2} " in line for line in acquired)


def check_what_is_said(fleet: FleetUnderTest) -> None:
    """A pool for each GPU: in the command, in the API, in the workers' own words."""

    # Between two rotations, since a slot is free for a moment when it changes hands.
    def status_with_both_full() -> list[str]:
        said = fleet.command("nvenc", "status", "--workers", "4").stdout
        return said.splitlines() if "nvenc-gpu0 1 of 1, nvenc-gpu1 1 of 1" in said else []

    status = until("both pools are full", status_with_both_full, PATIENCE_S)
    assert status[0].startswith("NVML: gpu_index=0 name=NVIDIA GeForce nvenc_used=")
    assert status[1].startswith("Active Sessions: ")
    assert any(line.startswith("NVML: gpu_index=1 name=NVIDIA GeForce") for line in status)
    assert f"Encoder {NVENC} on GPU 1: works" in status
    workers = [line for line in status if line.startswith("- worker=")]
    assert [f" gpu={worker % 2}" in line for worker, line in enumerate(workers)] == [True] * 4
    pools = until("somebody holds each", lambda: held_pools(fleet), PATIENCE_S)
    assert [(pool.pool, pool.gpu_index, pool.limit) for pool in pools[:2]] == [
        ("nvenc", 0, 1),
        ("nvenc", 1, 1),
    ]
    for pool in pools[:2]:
        assert [holder.gpu_index for holder in pool.holders] == [pool.gpu_index]
    waiting = fleet.in_state(StreamState.STANDBY)
    for worker in waiting:
        assert worker.nvenc_limit == 1
        assert f"nvenc-gpu{worker.gpu_index}" in (worker.stream_error or "")


def held_pools(fleet: FleetUnderTest) -> list[PoolStatus]:
    """The pools, once each GPU's session is held."""
    answer = httpx.get(f"{fleet.orchestrator}/api/sessions").raise_for_status().json()
    pools = [PoolStatus.model_validate(pool) for pool in answer]
    return pools if all(pool.holders for pool in pools[:2]) else []


def test_the_user_chooses_gpus_and_their_order(tmp_path: Path):
    driver = machine(tmp_path, 3)
    with fleet_on(driver, tmp_path, 2, NVENC_MAX_SESSIONS=1, GPUS="2,0") as fleet:
        until("both are live", lambda: len(live(fleet)) == 2, PATIENCE_S)
        assert gpus_of(fleet.statuses().values()) == {0: 2, 1: 0}
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "nvenc-gpu2 1 of 1, nvenc-gpu0 1 of 1" in status, "in the order in which they are used"
    assert opened_on(driver) == {0, 2}
    assert driver.events("refused") == []


def test_a_gpu_that_is_not_there_stops_the_start_with_a_sentence(tmp_path: Path):
    driver = machine(tmp_path, 2)
    environment = {**driver.environment, "METABONK_GPUS": "0,7"}
    with run_fleet(tmp_path, "--workers", "1", environment=environment) as fleet:
        assert fleet.process.wait(PATIENCE_S) != 0
    said = fleet.output.read_text()
    assert "METABONK_GPUS is 0,7, but GPU 7 is not available: this machine has 0, 1" in said


def test_what_cuda_hides_is_not_touched_and_its_numbers_are_cudas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    driver = machine(tmp_path, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    with fleet_on(driver, tmp_path, 2, NVENC_MAX_SESSIONS=1) as fleet:
        until("both are live", lambda: len(live(fleet)) == 2, PATIENCE_S)
        # CUDA counts the fastest, the last, first: its 0 and 1 are NVML's 2 and 0.
        assert gpus_of(fleet.statuses().values()) == {0: 0, 1: 2}
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "gpu_index=1" not in status
    assert opened_on(driver) == {0, 2}


def test_beside_a_card_without_an_encoder_each_worker_keeps_to_its_own(tmp_path: Path):
    driver = machine(tmp_path, 2)
    driver.set_gpu(1, name="NVIDIA H200", brand=TESLA, open_code=UNSUPPORTED_DEVICE)
    with fleet_on(driver, tmp_path, 3, NVENC_MAX_SESSIONS=1, FEATURED_ROTATE_S=600) as fleet:
        until("one is live on each", lambda: live_on(fleet) == [0, 1], PATIENCE_S)
        until("all three play", lambda: len(fleet.statuses()) == 3, PATIENCE_S)
        until(
            "the third waits for its own GPU's session",
            lambda: "nvenc-gpu0" in (fleet.statuses()["omega-2"].stream_error or ""),
            PATIENCE_S,
        )
        statuses = fleet.statuses()
        backends = [statuses[f"omega-{index}"].stream_backend for index in range(3)]
        assert backends == [NVENC, SOFTWARE, ""]
    assert opened_on(driver) == {0}


def test_of_two_cards_without_an_encoder_each_is_found_out_and_all_workers_are_shown(
    tmp_path: Path,
):
    """Both at the same moment, as it went wrong on two real H200s (docs/benchmarks.md)."""
    driver = machine(tmp_path, 2, name="NVIDIA H200", brand=TESLA, open_code=UNSUPPORTED_DEVICE)
    with fleet_on(driver, tmp_path, 4, CPU_MAX_SESSIONS=4) as fleet:
        until("all four are live", lambda: live_on(fleet) == [0, 0, 1, 1], PATIENCE_S)
        status = fleet.command("nvenc", "status", "--workers", "4").stdout
    assert "nvenc-gpu0 0 of 0, nvenc-gpu1 0 of 0, cpu 4 of 4" in status
    assert status.count("has no NVENC encoder") >= 2
    assert driver.events("opened") == []


def test_gstreamer_loads_its_plugin_without_a_session_of_another_gpu(tmp_path: Path):
    """It opens some on every GPU that it sees, and one that is full would refuse."""
    require_gstreamer()
    driver = machine(tmp_path, 2)
    driver.set_gpu(0, open_code=OUT_OF_MEMORY)
    chosen = {"NVENC_MAX_SESSIONS": 1, "STREAM_ENGINE": "gst", "GPUS": 1}
    with fleet_on(driver, tmp_path, 1, **chosen) as fleet:
        until("it is live", lambda: live(fleet), PATIENCE_S)
        assert fleet.statuses()["omega-0"].stream_backend == "gst:appsrc:nvh264enc"
    assert driver.events("refused") == []
    assert opened_on(driver) == {1}
