"""Several GPUs of a simulated driver: assignment of workers, and whose sessions they open."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import StreamState, WorkerStatus
from tests.integration.test_sessions import NVENC, ROTATE_S, SOFTWARE, fleet_on, live, logs
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import OUT_OF_MEMORY, TESLA, UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 150
"""Generous, as nothing here measures speed."""


def machine(folder: Path, gpus: int, **settings: int | str) -> SimulatedDriver:
    """Return a driver of GPUs with one session each; CUDA counts the last GPU first."""
    return SimulatedDriver(
        folder / "driver", gpus=gpus, cap=1, per_gpu=1, fastest=gpus - 1, **settings
    )


def gpus_of(statuses: Iterable[WorkerStatus]) -> dict[int, int | None]:
    return {status.worker_index: status.gpu_index for status in statuses}


def opened_on(driver: SimulatedDriver) -> set[int]:
    return {event.gpu for event in driver.events("opened")}


def live_on(fleet: FleetUnderTest) -> list[int | None]:
    return sorted(gpus_of(fleet.in_state(StreamState.LIVE)).values(), key=str)


def test_each_gpu_always_shows_one_of_its_two_workers(tmp_path: Path):
    driver = machine(tmp_path, 2)
    limits = {"NVENC_MAX_SESSIONS": 1, "FEATURED_ROTATE_S": ROTATE_S}
    with fleet_on(driver, tmp_path, 4, **limits) as fleet:
        until("one is live on each", lambda: live_on(fleet) == [0, 1], PATIENCE_S)
        until("all four play", lambda: len(fleet.statuses()) == 4, PATIENCE_S)
        assert gpus_of(fleet.statuses().values()) == {0: 0, 1: 1, 2: 0, 3: 1}
        seen: set[str] = set()

        def all_were_live() -> bool:
            seen.update(live(fleet))
            return len(seen) == 4

        until("every worker had a turn", all_were_live, PATIENCE_S)
        until("one is live on each again", lambda: live_on(fleet) == [0, 1], PATIENCE_S)
        check_reports(fleet)
    assert driver.events("refused") == []
    assert opened_on(driver) == {0, 1}
    output = logs(fleet, 4)
    assert "OpenEncodeSessionEx failed" not in output
    assert output.count("Acquired NVENC session") == output.count("Released NVENC session")
    for worker in range(4):
        acquired = [
            line for line in fleet.log(f"omega-{worker}").splitlines() if "Acquired" in line
        ]
        assert acquired and all(f"gpu={worker % 2} " in line for line in acquired)


def check_reports(fleet: FleetUnderTest) -> None:
    """Check that the command, the API and the workers report a pool for each GPU."""

    # During a rotation a slot is free for a moment.
    def status_with_both_full() -> list[str]:
        output = fleet.command("nvenc", "status", "--workers", "4").stdout
        return output.splitlines() if "nvenc-gpu0 1 of 1, nvenc-gpu1 1 of 1" in output else []

    status = until("both pools are full", status_with_both_full, PATIENCE_S)
    assert status[0].startswith("NVML: gpu_index=0 name=NVIDIA GeForce nvenc_used=")
    assert status[1].startswith("Active Sessions: ")
    assert any(line.startswith("NVML: gpu_index=1 name=NVIDIA GeForce") for line in status)
    assert f"Encoder {NVENC} on GPU 1: works" in status
    workers = [line for line in status if line.startswith("- worker=")]
    assert [f" gpu={worker % 2}" in line for worker, line in enumerate(workers)] == [True] * 4
    pools = until("both pools have a holder", lambda: held_pools(fleet), PATIENCE_S)
    assert [(pool.pool, pool.gpu_index, pool.limit) for pool in pools[:2]] == [
        ("nvenc", 0, 1),
        ("nvenc", 1, 1),
    ]
    for pool in pools[:2]:
        assert [holder.gpu_index for holder in pool.holders] == [pool.gpu_index]
    until("those that wait say for which session", lambda: name_their_gpu(fleet), PATIENCE_S)


def name_their_gpu(fleet: FleetUnderTest) -> bool:
    waiting = fleet.in_state(StreamState.STANDBY)
    return len(waiting) > 0 and all(
        worker.nvenc_limit == 1 and f"nvenc-gpu{worker.gpu_index}" in (worker.stream_error or "")
        for worker in waiting
    )


def held_pools(fleet: FleetUnderTest) -> list[PoolStatus]:
    """Return the pools once each GPU's session is held, else nothing."""
    answer = http.get(f"{fleet.orchestrator}/api/sessions").raise_for_status().json()
    pools = [PoolStatus.model_validate(pool) for pool in answer]
    return pools if all(pool.holders for pool in pools[:2]) else []


def test_gpus_are_used_in_the_order_of_the_setting(tmp_path: Path):
    driver = machine(tmp_path, 3)
    with fleet_on(driver, tmp_path, 2, NVENC_MAX_SESSIONS=1, GPUS="2,0") as fleet:
        until("both are live", lambda: len(live(fleet)) == 2, PATIENCE_S)
        assert gpus_of(fleet.statuses().values()) == {0: 2, 1: 0}
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "nvenc-gpu2 1 of 1, nvenc-gpu0 1 of 1" in status
    assert opened_on(driver) == {0, 2}
    assert driver.events("refused") == []


def test_the_start_fails_if_a_chosen_gpu_does_not_exist(tmp_path: Path):
    driver = machine(tmp_path, 2)
    environment = {**driver.environment, "METABONK_GPUS": "0,7"}
    with run_gameless_fleet(tmp_path, "--workers", "1", environment=environment) as fleet:
        assert fleet.process.wait(PATIENCE_S) != 0
    output = fleet.output.read_text()
    assert "METABONK_GPUS is 0,7, but GPU 7 is not available: this machine has 0, 1" in output


def test_gpus_hidden_by_cuda_visible_devices_are_not_used(
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


def test_a_worker_never_uses_the_session_of_another_gpu(tmp_path: Path):
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


def test_all_workers_are_shown_by_two_gpus_without_an_encoder(tmp_path: Path):
    """Both GPUs are probed at the same moment, which failed on two H200s (docs/benchmarks.md)."""
    driver = machine(tmp_path, 2, name="NVIDIA H200", brand=TESLA, open_code=UNSUPPORTED_DEVICE)
    with fleet_on(driver, tmp_path, 4, CPU_MAX_SESSIONS=4) as fleet:
        until("all four are live", lambda: live_on(fleet) == [0, 0, 1, 1], PATIENCE_S)
        status = fleet.command("nvenc", "status", "--workers", "4").stdout
    assert "nvenc-gpu0 0 of 0, nvenc-gpu1 0 of 0, cpu 4 of 4" in status
    assert status.count("has no NVENC encoder") >= 2
    assert driver.events("opened") == []


def test_gstreamer_opens_no_session_on_another_gpu(tmp_path: Path):
    """Its plugin opens one on every visible GPU while loading; a full GPU would refuse."""
    require_gstreamer()
    driver = machine(tmp_path, 2)
    driver.set_gpu(0, open_code=OUT_OF_MEMORY)
    chosen = {"NVENC_MAX_SESSIONS": 1, "STREAM_ENGINE": "gst", "GPUS": 1}
    with fleet_on(driver, tmp_path, 1, **chosen) as fleet:
        until("it is live", lambda: live(fleet), PATIENCE_S)
        assert fleet.statuses()["omega-0"].stream_backend == "gst:appsrc:nvh264enc"
    assert driver.events("refused") == []
    assert opened_on(driver) == {1}
