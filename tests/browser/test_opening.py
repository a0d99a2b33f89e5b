"""The page as it opens: its first picture comes before the rest, and stays where it is."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import open_page
from tests.support.fleet import FleetUnderTest
from tests.support.machine_speed import SLOWNESS

pytestmark = pytest.mark.timeout(240)

WINDOWS = {"desktop": (1440, 900), "phone": (390, 844), "landscape": (844, 390)}
STAGE_VIDEO = ".tile[data-place=stage] video"
PLACE = """(video) => {
  const { x, y, width, height } = video.getBoundingClientRect();
  return [x, y, width, height].map(Math.round);
}"""

# Record the first video, and where it was before the page was drawn.
RECORD = f"""
(() => {{
  window.first = null;
  const find = () => {{
    const video = document.querySelector(".opening video");
    if (video) window.first = {{ video, place: ({PLACE})(video) }};
    requestAnimationFrame(find);
  }};
  find();
}})();
"""


@pytest.mark.parametrize("path", ["/", "/neural/broadcast"])
def test_the_first_picture_is_where_the_page_will_have_it(
    fleet: FleetUnderTest, browser: Browser, path: str
):
    for window, (width, height) in WINDOWS.items():
        page = open_page(browser, viewport={"width": width, "height": height})
        page.add_init_script(RECORD)
        page.goto(f"{fleet.page}{path}")
        video = page.locator(STAGE_VIDEO)
        expect(page.locator(".player[data-state=live]").first).to_be_visible(
            timeout=30_000 * SLOWNESS
        )
        expect(page.locator(".opening")).to_have_count(0)
        assert video.evaluate("video => video === first.video"), "it was not opened again"
        assert not video.evaluate("video => video.paused")
        assert video.evaluate(PLACE) == page.evaluate("first.place"), window
        page.close()
