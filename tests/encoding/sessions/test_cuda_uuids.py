"""Querying CUDA's devices in a child, on the simulated driver."""

import os
import sys
from pathlib import Path

import pytest

from metabonk.encoding.sessions import cuda_uuids
from metabonk.encoding.sessions.cuda_uuids import CudaQueryError, query_uuids
from tests.support.nvsim.driver import SimulatedDriver

UUID = "GPU-00000000-0000-0000-0000-00000000000{}"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedDriver:
    driver = SimulatedDriver(tmp_path / "driver", gpus=3, fastest=2)
    for name, value in driver.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    return driver


@pytest.mark.parametrize(
    ("visible", "order", "shown"),
    [
        (None, None, [2, 0, 1]),
        (None, "PCI_BUS_ID", [0, 1, 2]),
        ("0", None, [2]),
        ("0", "PCI_BUS_ID", [0]),
        ("2,1", None, [1, 0]),
        ("1,7,0", None, [0]),
        (UUID.format(1), None, [1]),
    ],
)
def test_the_order_is_cudas(
    driver: SimulatedDriver,
    visible: str | None,
    order: str | None,
    shown: list[int],
    monkeypatch: pytest.MonkeyPatch,
):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if order is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    assert query_uuids() == [UUID.format(gpu) for gpu in shown]


def test_a_driver_that_shows_no_gpu_is_an_error_with_its_code(
    driver: SimulatedDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9")
    with pytest.raises(CudaQueryError, match="CUDA shows no GPU: cuInit returned 100"):
        query_uuids()


def test_a_missing_library_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    with pytest.raises(CudaQueryError, match=r"libcuda\.so\.1"):
        query_uuids()


def test_a_hung_driver_is_an_error_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", os.fspath(sleeper))
    monkeypatch.setattr(cuda_uuids, "TIMEOUT_S", 0.2)
    with pytest.raises(CudaQueryError, match="did not answer"):
        query_uuids()
