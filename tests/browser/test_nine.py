"""Nine live workers on one page, each with its own encoder."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from metabonk.messages.workers import StreamState
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(500)

WORKERS = 9
# Nine software encoders have to fit on two cores.
SMALL = {
    "METABONK_CPU_MAX_SESSIONS": str(WORKERS),
    "METABONK_STREAM_WIDTH": "160",
    "METABONK_STREAM_HEIGHT": "90",
    "METABONK_STREAM_FPS": "10",
    "METABONK_STREAM_BITRATE_KBPS": "200",
}
CLOCKS = "[...document.querySelectorAll('video')].map(video => video.currentTime)"
PLAYED = f"(began) => ({CLOCKS}).every((now, i) => now > began[i] + 2)"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("nine")
    with run_gameless_fleet(folder, "--workers", str(WORKERS), environment=SMALL) as fleet:
        until("all are live", lambda: len(fleet.in_state(StreamState.LIVE)) == WORKERS, 180)
        yield fleet


def test_nine_streams_play_despite_a_browsers_limit_of_six_connections(
    fleet: FleetUnderTest, page: Page
):
    page.goto(f"{fleet.page}/neural/broadcast")
    expect(page.locator(".player[data-state=live]")).to_have_count(
        WORKERS, timeout=120_000 * SLOWNESS
    )
    began = page.evaluate(CLOCKS)
    assert len(began) == WORKERS
    page.wait_for_function(PLAYED, arg=began, timeout=120_000 * SLOWNESS)
    # HTTP requests are answered as well.
    expect(page.get_by_text("No worker is waiting for a session.")).to_be_visible()
