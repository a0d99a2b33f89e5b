"""The broadcast over time: rotations, and a worker on stage that is killed.

``python -m benchmarks.watching`` measures the same for ten minutes.
"""

from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from metabonk.messages.workers import StreamState
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(500)

STAGE = ".tile[data-place=stage]"
CUTS = 3
KEPT_S = 25
"""Ten seconds are kept, and ten more accumulate before any are dropped."""

# Record each frame painted on stage, by its worker, and the most video that a player has kept.
RECORD = """
(() => {
  const seen = { stages: [], frames: 0, kept: 0 };
  window.seen = seen;
  const known = new WeakSet();
  const watch = (video) => {
    known.add(video);
    const painted = () => {
      video.requestVideoFrameCallback(painted);
      const { buffered } = video;
      if (buffered.length > 0)
        seen.kept = Math.max(seen.kept, buffered.end(buffered.length - 1) - buffered.start(0));
      const tile = video.closest('.tile');
      if (tile?.dataset.place !== 'stage') return;
      const worker = tile.getAttribute('aria-label');
      if (seen.stages.at(-1) !== worker) seen.stages.push(worker);
      seen.frames += 1;
    };
    video.requestVideoFrameCallback(painted);
  };
  setInterval(() => {
    for (const video of document.querySelectorAll('video')) if (!known.has(video)) watch(video);
  }, 50);
})();
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    """Run three workers with two sessions: the next one streams before the stage is cut to it."""
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "2",
        "METABONK_STREAM_WIDTH": "320",
        "METABONK_STREAM_HEIGHT": "180",
        "METABONK_STREAM_FPS": "15",
        "METABONK_FEATURED_ROTATE_S": "6",
    }
    folder = tmp_path_factory.mktemp("watching")
    with run_gameless_fleet(folder, "--workers", "3", environment=environment) as fleet:
        until("two are live", lambda: len(fleet.in_state(StreamState.LIVE)) == 2, 120)
        until("all three play", lambda: len(fleet.statuses()) == 3, 60)
        yield fleet


def test_the_stage_follows_the_rotation_and_survives_the_death_of_its_worker(
    fleet: FleetUnderTest, page: Page
):
    page.add_init_script(RECORD)
    page.goto(f"{fleet.page}/neural/broadcast")
    page.evaluate("window.sameDocument = true")
    every_worker_had_a_turn = "new Set(seen.stages).size === 3"
    page.wait_for_function(
        f"seen.stages.length > {CUTS} && {every_worker_had_a_turn}", timeout=120_000 * SLOWNESS
    )

    page.keyboard.press("p")
    expect(page.locator(STAGE).get_by_text("Pinned:")).to_be_visible()
    worker = page.locator(STAGE).get_attribute("aria-label")
    assert worker is not None
    player = page.locator(STAGE).locator(".player")
    expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
    pid = fleet.statuses()[worker].pid
    psutil.Process(pid).kill()
    # Not expect, which looks once a second: the worker may be back by then.
    page.wait_for_function(f"document.querySelector('{STAGE} .player').dataset.state !== 'live'")
    painted = page.evaluate("seen.frames")

    def is_another() -> bool:
        status = fleet.statuses().get(worker)
        return status is not None and status.pid != pid

    until("it is started again", is_another, 60)
    page.wait_for_function(
        "before => seen.frames > before + 10", arg=painted, timeout=120_000 * SLOWNESS
    )
    expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
    assert page.locator(STAGE).get_attribute("aria-label") == worker
    assert page.evaluate("seen.kept") < KEPT_S
    assert page.evaluate("window.sameDocument"), "no reload was needed"
