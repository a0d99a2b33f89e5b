"""The broadcast of a fleet that plays and learns: stage, pin, thoughts and saliency."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

STAGE = ".tile[data-place=stage]"
LIVE_MS = 30_000 * SLOWNESS
DRAWN_MS = 60_000 * SLOWNESS


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_STREAM_ADAPTIVE": "0",
        "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "5",
    }
    with run_fleet(folder, "--workers", "2", environment=environment) as fleet:
        until("the page answers", lambda: http.get(f"{fleet.page}/").is_success, 30)
        until("one worker is live", lambda: fleet.in_state(StreamState.LIVE), 60)
        until("one is in standby", lambda: fleet.in_state(StreamState.STANDBY), 30)
        yield fleet


def test_the_front_page_lists_the_workers_and_shows_learning(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/")
    for name in ("omega-0", "omega-1"):
        expect(page.get_by_role("link", name=name).first).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()


def test_the_live_worker_is_on_stage_with_its_thoughts(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/neural/broadcast")
    stage = page.locator(STAGE)
    expect(stage.locator(".player")).to_have_attribute("data-state", "live", timeout=LIVE_MS)
    actions = stage.get_by_role("list", name="Action probabilities")
    expect(actions).to_be_visible(timeout=LIVE_MS)
    shares = [
        int(text.removesuffix("%"))
        for text in actions.locator(".action-probability").all_inner_texts()
    ]
    assert len(shares) >= 2
    assert 95 <= sum(shares) <= 105, "probabilities, each rounded"
    expect(actions.locator("li[data-chosen=true]")).to_have_count(1)
    before = stage.locator(".value-chart polyline").get_attribute("points")
    expect(stage.locator(".value-chart polyline")).not_to_have_attribute("points", before or "")


def test_a_standby_tile_shows_changing_snapshots(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/neural/broadcast")
    expect(page.locator(STAGE).locator(".player")).to_have_attribute(
        "data-state", "live", timeout=LIVE_MS
    )
    image = page.locator(".tile[data-place=standby] img")
    expect(image).to_be_visible(timeout=10_000 * SLOWNESS)
    first = image.get_attribute("src")
    expect(image).not_to_have_attribute("src", first or "", timeout=10_000 * SLOWNESS)


def wait_for_map(page: Page, timeout_ms: int) -> None:
    """Wait until something is drawn on the saliency overlay."""
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector('canvas.saliency');
          if (!canvas) return false;
          const { width, height } = canvas;
          const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
          return data.some((value, i) => i % 4 === 3 && value > 0);
        }""",
        timeout=timeout_ms,
    )


def test_the_saliency_overlay_is_toggled_with_its_key(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/neural/broadcast")
    player = page.locator(STAGE).locator(".player")
    expect(player).to_have_attribute("data-state", "live", timeout=LIVE_MS)
    page.keyboard.press("h")
    overlay = page.locator("canvas.saliency")
    expect(overlay).to_be_visible(timeout=LIVE_MS)
    wait_for_map(page, LIVE_MS)
    expect(page.get_by_text("of a core")).to_be_visible()
    page.keyboard.press("h")
    expect(overlay).to_have_count(0)


def test_a_rematch_has_saliency_maps_in_step(fleet: FleetUnderTest, page: Page):
    worst = f"{fleet.orchestrator}/api/episodes?replayable=true&order=worst&limit=1"
    until("an episode can be replayed", lambda: http.get(worst).raise_for_status().json(), 60)
    run = http.get(f"{fleet.orchestrator}/api/fleet").json()["run"]
    checkpoints = f"{fleet.orchestrator}/api/runs/{run}/checkpoints"
    until("there is a checkpoint", lambda: http.get(checkpoints).raise_for_status().json(), 60)
    page.goto(f"{fleet.page}/replay?episode=worst&with=rematch")
    page.get_by_role("button", name="Saliency").wait_for()
    page.keyboard.press("h")
    rematch = page.locator(".replay-side").nth(1)
    expect(rematch.get_by_text("Saliency map", exact=True)).to_be_visible(timeout=DRAWN_MS)
    wait_for_map(page, LIVE_MS)
    page.keyboard.press("h")
    expect(page.locator("canvas.saliency")).to_have_count(0)


def test_a_pinned_worker_gets_the_session_and_plays_large(fleet: FleetUnderTest, page: Page):
    standby = fleet.first_in(StreamState.STANDBY)
    page.goto(f"{fleet.page}/neural/broadcast")
    stage = page.get_by_role("article", name=standby.instance_id)
    expect(stage).to_be_visible()
    page.keyboard.press(str(standby.worker_index + 1))
    expect(stage).to_have_attribute("data-place", "stage")
    expect(stage.get_by_text("Pinned:")).to_be_visible()
    expect(page).to_have_url(f"{fleet.page}/neural/broadcast?pin={standby.instance_id}")
    expect(stage.locator(".player")).to_have_attribute(
        "data-state", "live", timeout=60_000 * SLOWNESS
    )
