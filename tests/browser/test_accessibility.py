"""Every page passes axe-core at the width of a desktop and of a phone."""

import pytest
from playwright.sync_api import Page

from metabonk.messages.workers import StreamState
from tests.support.browser import axe_violations
from tests.support.fleet import FleetUnderTest
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SETTLE_MS = 1_000
"""Time to draw further responses after the first content."""


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", ".data-table"),
        ("/neural/broadcast", ".tile"),
        ("/wall?stage=1", ".tile"),
        ("/neural/broadcast?clean=1", ".tile"),
        ("/stream?worker=omega-0", ".stats"),
        ("/stream", "main"),
        ("/runs", ".data-table"),
        ("/replay", ".notice"),
        ("/nowhere", "main"),
    ],
)
def test_axe_finds_nothing(
    fleet: FleetUnderTest, page: Page, path: str, content: str, width: dict[str, int]
):
    until("a worker is live", lambda: fleet.in_state(StreamState.LIVE), 60)
    page.set_viewport_size({"width": width["width"], "height": width["height"]})
    page.goto(f"{fleet.page}{path}")
    page.locator(content).first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    assert axe_violations(page) == []
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, "the page is no wider than its window"


def test_a_question_mark_opens_the_shortcuts_which_keep_the_focus(
    fleet: FleetUnderTest, page: Page
):
    page.goto(f"{fleet.page}/")
    page.get_by_role("heading", name="Workers").wait_for()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    dialog.wait_for()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
