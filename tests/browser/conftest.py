"""A fleet with one encoder session for two workers, and a real browser.

Its workers show a pattern (``gameless_worker``); ``test_broadcast`` has a fleet that plays.
"""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.browser import CHROMIUM_FLAGS, open_page
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.requirements import require
from tests.support.waiting import until

EXPECTED_WITHIN_MS = 5_000
"""Playwright's own limit of what is expected of a page."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    """Run a fleet for one module; every test leaves it with a live worker."""
    folder = tmp_path_factory.mktemp("fleet")
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_STREAM_ADAPTIVE": "0",
        # Nobody's turn ends before a viewer is known; see test_watching.
        "METABONK_FEATURED_ROTATE_S": "3600",
    }
    with run_gameless_fleet(folder, "--workers", "2", environment=environment) as fleet:
        until("the page answers", lambda: http.get(f"{fleet.page}/").is_success, 30)
        until("one worker is live", lambda: fleet.in_state(StreamState.LIVE), 60)
        until("one is in standby", lambda: fleet.in_state(StreamState.STANDBY), 30)
        yield fleet


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=EXPECTED_WITHIN_MS * SLOWNESS)
    chromium = require(shutil.which("chromium"), "chromium", apt="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page of a desktop's size; an exception in it fails the test."""
    page = open_page(browser, viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []
