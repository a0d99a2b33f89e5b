"""NVENC's encoders on the simulated driver: everything that ``test_backends`` checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.encoding.ladder import RUNGS, PoolKind
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import SimulatedDriver

pytestmark = pytest.mark.timeout(240)
OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "pytest_timeout")
NVENC = [rung.backend for rung in RUNGS if rung.pool_kind is PoolKind.NVENC]


@pytest.mark.parametrize("backend", NVENC)
def test_nvenc_behaves_like_every_encoder(backend: str, tmp_path: Path):
    if backend.startswith("gst:"):
        require_gstreamer()
    driver = SimulatedDriver(tmp_path / "driver", cap=1)
    tests = Path(__file__).with_name("test_backends.py")
    # A new process, because the driver's libraries must be there when it starts.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, tests, "-k", backend],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": ":".join(sys.path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **driver.environment,
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert driver.events("opened"), "no session was opened"
    assert driver.open_now() == 0
    if "cuda" in backend:
        assert driver.events("uploaded") == driver.events("downloaded") == [], (
            "frames stay on the device"
        )
