"""The page in front of any number of workers, in windows of every shape."""

import pytest
from playwright.sync_api import Browser

from tests.support.browser import axe_violations, open_page
from tests.support.recorded_fleet import make_recorded_app, recorded_fleet
from tests.support.serving import served

pytestmark = pytest.mark.timeout(240)

WINDOWS = {"desktop": (1440, 900), "phone": (390, 844), "landscape": (844, 390)}
SETTLE_MS = 800
LIGHT = "rgb(244, 246, 248)"
IN_VIEW = """() => {
  const player = document.querySelector(".tile .player").getBoundingClientRect();
  return player.top >= 0 && player.bottom <= innerHeight;
}"""


@pytest.mark.parametrize(
    ("workers", "path"),
    [(2, "/"), (2, "/wall"), (2, "/runs"), (5, "/"), (16, "/wall?stage=1"), (64, "/")],
)
def test_a_page_fits_into_every_window_and_axe_finds_nothing(
    browser: Browser, workers: int, path: str
):
    with served(make_recorded_app(recorded_fleet(workers))) as client:
        found = [
            (window, problem)
            for window, size in WINDOWS.items()
            for problem in _problems(browser, f"{client.base_url}{path}", size)
        ]
    assert found == []


def test_axe_finds_nothing_where_the_system_is_light(browser: Browser):
    with served(make_recorded_app(recorded_fleet(5))) as client:
        page = open_page(browser, color_scheme="light")
        page.goto(f"{client.base_url}/")
        page.locator(".data-table").wait_for()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == LIGHT
        assert axe_violations(page) == []
        page.close()


def test_a_wall_of_64_shows_a_still_in_each_tile_that_is_in_view(browser: Browser):
    with served(make_recorded_app(recorded_fleet(64))) as client:
        page = open_page(browser, viewport={"width": 1440, "height": 900})
        page.goto(f"{client.base_url}/wall")
        page.wait_for_function("document.querySelectorAll('.player img').length >= 24")
        assert page.locator(".tile").count() == 64
        page.close()


def _problems(browser: Browser, url: str, size: tuple[int, int]) -> list[str]:
    page = open_page(browser, viewport={"width": size[0], "height": size[1]})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.locator("main h1").first.wait_for(state="attached")
    page.wait_for_timeout(SETTLE_MS)
    problems = [*errors, *axe_violations(page)]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        problems.append("it is wider than its window")
    if page.locator(".tile .player").count() and not page.evaluate(IN_VIEW):
        problems.append("the first picture is not in view as a whole")
    page.close()
    return problems
