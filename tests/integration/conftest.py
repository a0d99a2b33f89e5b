"""A checkout for the tests that type documented commands."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support import go2rtc_stand_in
from tests.support.checkout import Terminal, checkout, require_default_ports
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.requirements import require

LIMIT = 2
"""Sessions of the simulated driver."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> SimulatedDriver:
    return SimulatedDriver(tmp_path_factory.mktemp("driver") / "state", cap=LIMIT)


@pytest.fixture(scope="module")
def terminal(
    driver: SimulatedDriver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    require_default_ports(8)
    for program, package in (("curl", "curl"), ("jq", "jq"), ("watch", "procps")):
        require(shutil.which(program), program, apt=package)
    variables = {
        **driver.environment,
        "METABONK_NVENC_MAX_SESSIONS": str(LIMIT),
        # No rotation while the outputs of several commands are compared.
        "METABONK_FEATURED_ROTATE_S": "3600",
        # A cheap stream, as the simulated encoder runs on the CPU; GStreamer has its own tests.
        "METABONK_STREAM_ENGINE": "av",
        "METABONK_STREAM_WIDTH": "256",
        "METABONK_STREAM_HEIGHT": "144",
        "METABONK_STREAM_FPS": "15",
        "METABONK_WORKER_GAMES_PER_WORKER": "1",
        # For the commands that don't set it.
        "METABONK_WORKER_SPAWN_STAGGER_S": "0.2",
    }
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "bin").mkdir()
    go2rtc_stand_in.install(folder / "bin")
    opened = checkout(folder, variables)
    yield opened
    opened.close()
