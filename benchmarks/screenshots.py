"""Screenshots of the page in ``docs/screenshots``, from a real fleet in a real browser.

``python -m benchmarks.screenshots [--train 70] [--out docs/screenshots]`` trains two runs for 70
seconds each, resumes the second one and captures every page at desktop and phone width.
"""

import argparse
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from benchmarks.latency import GAME, chromium
from metabonk.messages.workers import StreamState

DESKTOP, PHONE = (1440, 900), (390, 844)
ROTATE_S = "10"
SETTLED_MS = 2_000
FRAME_TIMEOUT_MS = 45_000
HERE = Path(__file__).parent


def main() -> None:
    """Train, then capture all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=float, default=70.0, help="seconds per run")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "screenshots")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), GAME, arguments.train)
        train(Path(folder), GAME, arguments.train)
        environment = {"METABONK_CPU_MAX_SESSIONS": "1", "METABONK_FEATURED_ROTATE_S": ROTATE_S}
        with run_fleet(
            Path(folder), "--workers", "3", "--resume", environment=environment
        ) as fleet:
            until("a worker is live", lambda: fleet.in_state(StreamState.LIVE), 120)
            until("all workers play", lambda: len(fleet.statuses()) == 3, 60)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium(), args=CHROMIUM_FLAGS
                )
                _capture(browser, fleet, arguments.out)
                browser.close()
            fleet.stop()


def train(folder: Path, game: str, seconds: float) -> None:
    """Train a run of the game for so long, without streams."""
    environment = {"METABONK_STREAM_ENABLED": "false"}
    arguments = ("--workers", "2", "--game", game)
    with run_fleet(folder, *arguments, environment=environment) as fleet:
        until("it learns", lambda: any(each.step for each in fleet.statuses().values()), 60)
        time.sleep(seconds)
        fleet.stop()


def _capture(browser: Browser, fleet: FleetUnderTest, out: Path) -> None:
    for name, path in (
        ("broadcast", "/neural/broadcast"),
        ("fleet", "/"),
        ("runs", "/runs"),
        ("stream", "/stream?worker=omega-0"),
        ("replay", "/replay?episode=last"),
        ("then-and-now", "/replay?episode=worst&with=rematch"),
    ):
        for suffix, (width, height) in (("", DESKTOP), ("-phone", PHONE)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"{fleet.page}{path}")
            _wait_until_settled(page)
            if name == "broadcast" and not suffix:
                page.screenshot(path=out / "broadcast.png")
                page.keyboard.press("h")
                page.get_by_text("of a core").wait_for(timeout=FRAME_TIMEOUT_MS)
                page.screenshot(path=out / "saliency.png")
            else:
                page.screenshot(path=out / f"{name}{suffix}.png")
            page.close()


def _wait_until_settled(page: Page) -> None:
    """Wait for the page's data and, if it shows large videos, for the thoughts in each."""
    page.wait_for_timeout(SETTLED_MS)
    if videos := page.locator(".stream-view[data-large=true]").count():
        expect(page.locator(".thoughts")).to_have_count(videos, timeout=FRAME_TIMEOUT_MS)
        page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    main()
