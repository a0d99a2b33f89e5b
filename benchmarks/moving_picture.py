"""The moving picture in the README: an episode of a policy that was trained just before.

``python -m benchmarks.moving_picture [--train 300] [--out docs/screenshots/trained.webp]`` trains
for so many seconds, opens the best episode since in a real browser, and takes one picture a step of
it, with what the policy thought.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import run_fleet
from tests.support.waiting import until

from benchmarks.latency import chromium
from benchmarks.screenshots import train
from metabonk.messages.workers import StreamState

GAME = "doom:defend_the_center"
OUT = Path(__file__).parent.parent / "docs" / "screenshots" / "trained.webp"
VIEWPORT = {"width": 1280, "height": 900}
SIZE = (720, 405)
STEPS = 70
STEP_MS = 114
"""Four tics of Doom, as long as a decision lasts."""

DRAWN_MS = 900_000
"""A long episode is drawn at the lowest priority, beside a fleet that trains."""

QUALITY = 55


def main() -> None:
    """Train, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=float, default=300.0, help="seconds")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), GAME, arguments.train)
        with run_fleet(Path(folder), "--workers", "1", "--resume") as fleet:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 120)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium(), args=CHROMIUM_FLAGS
                )
                page = browser.new_page(viewport=VIEWPORT)
                page.goto(f"{fleet.page}/replay?episode=best")
                first, *others = _pictures(page)
                browser.close()
            fleet.stop()
    first.save(
        arguments.out,
        save_all=True,
        append_images=others,
        duration=STEP_MS,
        loop=0,
        quality=QUALITY,
        method=6,
    )


def _pictures(page: Page) -> Iterator[Image.Image]:
    """Return a picture of each step, from the first on."""
    screen = page.locator(".replay-screen")
    expect(screen.locator(".player-state")).to_have_text("REPLAY", timeout=DRAWN_MS)
    page.keyboard.press("Home")
    for _ in range(STEPS):
        page.keyboard.press(".")
        page.wait_for_function("[...document.querySelectorAll('video')].every(v => !v.seeking)")
        picture = Image.open(io.BytesIO(screen.screenshot()))
        yield picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
