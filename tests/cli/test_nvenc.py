"""What ``metabonk nvenc status`` says of GPUs and their pools, without a driver."""

from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from metabonk.cli.nvenc import session_lines, status_lines
from metabonk.encoding.sessions import Lease, Pools
from metabonk.encoding.sessions.nvml import DriverSession, Gpu, GpuInventory, Nvml
from metabonk.settings import Settings
from tests.support.serving import free_port

FIRST = Gpu(0, "GPU-0", "GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
OTHERS_ON_SECOND = (DriverSession(pid=1, width=1920, height=1080, fps=60),)
SECOND = replace(FIRST, index=1, uuid="GPU-1", sessions=OTHERS_ON_SECOND, session_count=1)


class Machine(Nvml):
    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = gpus

    def inventory(self) -> GpuInventory:
        return (
            GpuInventory(self.gpus) if self.gpus else GpuInventory(unavailable="no NVIDIA driver")
        )


def pools(folder: Path, *gpus: Gpu, limit: int = 2) -> Pools:
    return Pools(folder, nvenc_limit=limit, cpu_limit=1, nvml=Machine(*gpus))


def lines(made: Pools, gpu: int = 0) -> list[str]:
    return list(session_lines(Settings.model_validate({"nvml": {"gpu_index": gpu}}), made))


def test_each_gpu_comes_with_its_pool_and_what_is_open_there(tmp_path: Path):
    made = pools(tmp_path, FIRST, SECOND)
    pool = made.nvenc(0)
    assert pool is not None
    assert isinstance(pool.take(worker="omega-0", purpose="stream", gpu=0), Lease)
    said = lines(made)
    assert said[:4] == [
        "NVML: gpu_index=0 name=GeForce RTX 4070 nvenc_used=0",
        "Active Sessions: 2 (nvenc-gpu0 1 of 2, nvenc-gpu1 1 of 2, cpu 0 of 1)",
        "  limit of GPU 0: METABONK_NVENC_MAX_SESSIONS",
        said[3],
    ]
    assert said[3].startswith("  nvenc-gpu0 slot 0: omega-0 (pid ")
    assert "on GPU 0" in said[3]
    assert said[4:] == [
        "NVML: gpu_index=1 name=GeForce RTX 4070 nvenc_used=1",
        "  limit of GPU 1: METABONK_NVENC_MAX_SESSIONS",
        "  other program: pid 1, 1920×1080 at 60 fps",
    ]


def test_the_gpu_that_is_asked_for_comes_first(tmp_path: Path):
    said = lines(pools(tmp_path, FIRST, SECOND), gpu=1)
    assert said[0].startswith("NVML: gpu_index=1 ")
    assert [line for line in said if line.startswith("NVML:")][1].startswith("NVML: gpu_index=0 ")


def test_cards_that_share_a_limit_share_a_pool(tmp_path: Path):
    said = lines(pools(tmp_path, FIRST, SECOND, limit=0))
    assert said[1] == "Active Sessions: 1 (nvenc 1 of 8, cpu 0 of 1)"
    assert [line[:16] for line in said[2:5]] == [
        "  limit of GPU 0",
        "NVML: gpu_index=",
        "  limit of GPU 1",
    ]
    assert said[5:] == ["  other program: pid 1, 1920×1080 at 60 fps"]


@pytest.mark.parametrize(
    ("gpus", "why"),
    [((), "no NVIDIA driver"), ((FIRST, SECOND), "there is no GPU 5, but 0, 1")],
)
def test_a_gpu_that_is_not_there_is_said_in_the_first_line(
    gpus: tuple[Gpu, ...], why: str, tmp_path: Path
):
    assert (
        lines(pools(tmp_path, *gpus), gpu=5)[0]
        == f"NVML: gpu_index=5 name=none ({why}) nvenc_used=0"
    )


def test_encoders_are_listed_for_each_gpu(tmp_path: Path):
    port = free_port()
    settings = Settings.model_validate(
        {"workers": 1, "ports": {"worker": port}, "stream": {"engine": "av"}}
    )
    two = list(status_lines(settings, pools(tmp_path, FIRST, SECOND)))
    assert "Encoder av:h264_nvenc on GPU 1: not tried yet on this host" in two
    one = list(status_lines(settings, pools(tmp_path, FIRST)))
    assert "Encoder av:h264_nvenc: not tried yet on this host" in one
    assert one[-1].startswith(f"- worker=0 port={port} instance_id=omega-0 backend=")
