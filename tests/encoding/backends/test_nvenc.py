"""NVENC's encoders on the simulated driver: all that ``test_backends`` asks of any encoder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.encoding.ladder import RUNGS, PoolKind
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import SimulatedDriver

pytestmark = pytest.mark.timeout(240)
NVENC = [rung.backend for rung in RUNGS if rung.pool_kind is PoolKind.NVENC]


@pytest.mark.parametrize("backend", NVENC)
def test_it_does_what_every_encoder_does(backend: str, tmp_path: Path):
    if backend.startswith("gst:"):
        require_gstreamer()
    driver = SimulatedDriver(tmp_path / "driver", cap=1)
    tests = Path(__file__).with_name("test_backends.py")
    # The driver's libraries must be there when the process starts.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", backend],
        env={"PATH": os.defpath, "PYTHONPATH": ":".join(sys.path), **driver.environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert driver.events("opened"), "no session was opened"
    assert driver.open_now() == 0
    if "cuda" in backend:
        assert driver.events("uploaded") == driver.events("downloaded") == [], "it stays there"
