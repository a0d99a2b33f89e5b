"""``metabonk nvenc status`` with fake GPUs."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from fastapi import FastAPI

from metabonk.cli import cleanup
from metabonk.cli.nvenc import session_lines, status_lines
from metabonk.encoding.sessions import Lease, Pools
from metabonk.encoding.sessions import pool as pool_module
from metabonk.encoding.sessions.nvml import DriverSession, Gpu
from metabonk.encoding.sessions.slots import locked
from metabonk.messages.sessions import PoolStatus, SlotHolder
from metabonk.orchestrator.lock import FleetLock
from metabonk.settings import Settings, write_settings
from tests.support.machines import pools_of
from tests.support.serving import free_port, served
from tests.support.statuses import guest_status, status

FIRST = Gpu(0, "GPU-0", "GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
EXTERNAL_ON_SECOND = (DriverSession(pid=1, width=1920, height=1080, fps=60),)
SECOND = replace(FIRST, index=1, uuid="GPU-1", sessions=EXTERNAL_ON_SECOND, session_count=1)


def two_gpus(folder: Path) -> Pools:
    return pools_of(folder, FIRST, SECOND, limit=2)


def lines(pools: Pools, gpu: int = 0) -> list[str]:
    return list(session_lines(Settings.model_validate({"nvml": {"gpu_index": gpu}}), pools))


def test_each_gpu_is_listed_with_its_pool_and_open_sessions(tmp_path: Path):
    pools = two_gpus(tmp_path)
    pool = pools.nvenc(0)
    assert pool is not None
    assert isinstance(pool.take(worker="omega-0", purpose="stream", gpu=0), Lease)
    output = lines(pools)
    assert output[:4] == [
        "NVML: gpu_index=0 name=GeForce RTX 4070 nvenc_used=0",
        "Active Sessions: 2 (nvenc-gpu0 1 of 2, nvenc-gpu1 1 of 2, cpu 0 of 1)",
        "  limit of GPU 0: METABONK_NVENC_MAX_SESSIONS",
        output[3],
    ]
    assert output[3].startswith("  nvenc-gpu0 slot 0: omega-0 (pid ")
    assert "on GPU 0" in output[3]
    assert output[4:] == [
        "NVML: gpu_index=1 name=GeForce RTX 4070 nvenc_used=1",
        "  limit of GPU 1: METABONK_NVENC_MAX_SESSIONS",
        "  other program: pid 1, 1920×1080 at 60 fps",
    ]


def test_sessions_are_listed_while_a_stuck_process_keeps_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pools = two_gpus(tmp_path)
    pool = pools.nvenc(0)
    assert pool is not None
    pool.take(worker="omega-0", purpose="stream", gpu=0)
    monkeypatch.setattr(pool_module, "LOCK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(cleanup, "orphans", list)
    monkeypatch.setattr(cleanup, "cleanup_games", lambda *arguments: ["games"])
    with locked(tmp_path / "nvenc-gpu0" / "pool.lock"):
        output = lines(pools)
        leftovers = list(cleanup.leftover_lines(pools))
    assert output[1] == "Active Sessions: 2 (nvenc-gpu0 1 of 2, nvenc-gpu1 1 of 2, cpu 0 of 1)"
    assert output[-1].startswith("Problem: counted without the pool's lock: ")
    assert leftovers[0].startswith("nvenc-gpu0: ") and "appears stuck" in leftovers[0]
    assert leftovers[-1] == "left over: games", "the rest is done all the same"


def test_the_configured_gpu_comes_first(tmp_path: Path):
    output = lines(two_gpus(tmp_path), gpu=1)
    assert output[0].startswith("NVML: gpu_index=1 ")
    assert [line for line in output if line.startswith("NVML:")][1].startswith("NVML: gpu_index=0 ")


def test_cards_that_share_a_limit_share_a_pool(tmp_path: Path):
    output = lines(pools_of(tmp_path, FIRST, SECOND))
    assert output[1] == "Active Sessions: 1 (nvenc 1 of 8, cpu 0 of 1)"
    assert [line[:16] for line in output[2:5]] == [
        "  limit of GPU 0",
        "NVML: gpu_index=",
        "  limit of GPU 1",
    ]
    assert output[5:] == ["  other program: pid 1, 1920×1080 at 60 fps"]


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [((), "no NVIDIA driver"), ((FIRST, SECOND), "there is no GPU 5, only 0, 1")],
)
def test_a_missing_gpu_is_reported_in_the_first_line(
    gpus: tuple[Gpu, ...], reason: str, tmp_path: Path
):
    unavailable = None if gpus else "no NVIDIA driver"
    first, *_ = lines(pools_of(tmp_path, *gpus, limit=2, unavailable=unavailable), gpu=5)
    assert first == f"NVML: gpu_index=5 name=none ({reason}) nvenc_used=0"


def test_encoders_are_listed_for_each_gpu(tmp_path: Path):
    port = free_port()
    settings = Settings.model_validate(
        {"workers": 1, "ports": {"worker": port}, "stream": {"engine": "av"}}
    )
    on_two_gpus = list(status_lines(settings, two_gpus(tmp_path)))
    assert "Encoder av:h264_nvenc on GPU 1: not probed yet on this host" in on_two_gpus
    on_one_gpu = list(status_lines(settings, pools_of(tmp_path, FIRST, limit=2)))
    assert "Encoder av:h264_nvenc: not probed yet on this host" in on_one_gpu
    assert on_one_gpu[-1].startswith(f"- worker=0 port={port} instance_id=omega-0 backend=")


def test_a_guest_of_a_hub_is_not_taken_for_a_worker_of_the_fleet(tmp_path: Path):
    app = FastAPI()
    app.get("/status")(lambda: guest_status(0, "mine", stream_backend="av:libx264"))
    with served(app) as client:
        port = client.base_url.port
        settings = Settings.model_validate({"workers": 1, "ports": {"worker": port}})
        (line,) = [
            each
            for each in status_lines(settings, pools_of(tmp_path))
            if each.startswith("- worker")
        ]
    assert line == (
        f"- worker=0 port={port} instance_id=omega-0 backend= active=false nvenc_used= "
        "(mine uses this port)"
    )


def test_workers_of_nodes_are_listed_as_the_head_knows_them(tmp_path: Path):
    pool = PoolStatus(
        pool="nvenc",
        node="b",
        gpu_index=0,
        gpu_name="RTX",
        used=2,
        limit=3,
        holders=[
            SlotHolder(slot=0, instance_id="omega-4", pid=7, ours=True),
            SlotHolder(slot=None, instance_id=None, pid=None, ours=False),
        ],
    )
    app = FastAPI()
    app.get("/api/sessions")(lambda: [pool])
    app.get("/workers")(lambda: {"omega-4": status(4, node="b", stream_backend="av:h264_nvenc")})
    with served(app) as client:
        page = f"http://127.0.0.1:{client.base_url.port}"
        settings = Settings.model_validate(
            {
                "workers": 8,
                "nodes": {"count": 2},
                "ports": {"orchestrator": client.base_url.port},
                "paths": {"runtime": tmp_path},
            }
        )
        tmp_path.chmod(0o700)
        with closing(FleetLock(tmp_path, settings.ports.orchestrator, page=page)) as lock:
            write_settings(settings, tmp_path / "settings.json")
            lock.set_settings_path(tmp_path / "settings.json")
            listed = list(status_lines(settings, pools_of(tmp_path)))
    assert "Node b: nvenc 2 of 3 (omega-4, other program)" in listed
    workers = [line for line in listed if line.startswith("- worker")]
    assert workers == [
        "- worker=4 node=b instance_id=omega-4 backend=av:h264_nvenc active=true nvenc_used="
    ]
