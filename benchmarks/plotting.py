"""Whether learning curves stay smooth with 100,000 points, in a real browser.

``python -m benchmarks.plotting [--points 100000] [--json FILE]`` opens the fleet's page over a
curve of so many points (the orchestrator itself never sends more than 2,000 of a run), moves the
pointer over it and gives it newer points meanwhile. No fleet is needed: the script answers for it.
"""

import argparse
import json
import math
import mimetypes
import os
import random
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.support.browser import CHROMIUM_FLAGS

import metabonk.orchestrator
from benchmarks.latency import chromium, quantile
from metabonk.messages import CurvePoint, Fleet, Mode
from metabonk.settings.schema import available_cores

BUILT = Path(metabonk.orchestrator.__file__).parent / "page"
KNOWN = ("/api/fleet", "/api/curve", "/api/runs", "/api/sessions")
MOVES = 300

# The main thread's longest tasks, and the time between two frames.
OBSERVING = """
(() => {
  window.tasks = [];
  window.frames = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.tasks.push(duration);
  }).observe({ type: "longtask", buffered: true });
  let last = performance.now();
  const frame = (now) => {
    window.frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})();
"""


def measure(points: int) -> dict[str, float]:
    """The figures, milliseconds."""
    orchestrator = _Orchestrator(points)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(OBSERVING)
        page.route("**/*", orchestrator.answer)
        page.goto("http://page.test/")
        page.locator(".plot canvas").wait_for()
        page.wait_for_timeout(2_000)
        drawing = page.evaluate("Math.max(0, ...tasks)")
        resting = _frames(page)
        _move_over_the_plot(page)
        moving = _frames(page)
        page.evaluate("tasks.length = 0")
        orchestrator.more()
        page.wait_for_timeout(7_000)
        renewing = page.evaluate("Math.max(0, ...tasks)")
        browser.close()
    return {
        "points": points,
        "longest_task_first_drawing_ms": drawing,
        "longest_task_newer_points_ms": renewing,
        "frame_p50_resting_ms": quantile(resting, 50),
        "frame_p50_pointer_moving_ms": quantile(moving, 50),
        "frame_p95_pointer_moving_ms": quantile(moving, 95),
    }


def _frames(page: Page) -> list[float]:
    frames: list[float] = page.evaluate("frames.splice(0)")
    return frames


def _move_over_the_plot(page: Page) -> None:
    box = page.locator(".plot .u-over").first.bounding_box()
    assert box is not None, "the plot is shown"
    for i in range(MOVES):
        page.mouse.move(box["x"] + box["width"] * i / MOVES, box["y"] + box["height"] / 2)


class _Orchestrator:
    """Answers as the real one does, with a curve that is made up."""

    def __init__(self, points: int) -> None:
        self._random = random.Random(1)
        self._curve = [self._point(i, points) for i in range(points)]

    def more(self) -> None:
        """An episode more has ended."""
        self._curve.append(self._point(len(self._curve), len(self._curve)))

    def answer(self, route: Route) -> None:
        """To a request of the page."""
        path = urlsplit(route.request.url).path
        if path.startswith("/api/"):
            if path in KNOWN:
                route.fulfill(json=self._said(path))
            else:
                route.fulfill(status=404)
            return
        file = BUILT / path.lstrip("/")
        if not file.is_file():
            file = BUILT / "index.html"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        route.fulfill(body=file.read_bytes(), content_type=kind)

    def _said(self, path: str) -> Any:
        if path == "/api/curve":
            return [point.model_dump() for point in self._curve]
        if path != "/api/fleet":
            return []
        fleet = Fleet(
            run="plotting", game="none", mode=Mode.TRAIN, workers={}, learner=None, problems=[]
        )
        return fleet.model_dump(mode="json")

    def _point(self, i: int, points: int) -> CurvePoint:
        learned = 1 / (1 + math.exp(-12 * (i / points - 0.5)))
        return CurvePoint(
            fleet_step=30 * i,
            ended_at=1_790_000_000.0 + i,
            mean_return=400 * learned - 300 + self._random.gauss(0, 60),
            episodes=1,
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.points)
    title = f"{available_cores()} cores, load {os.getloadavg()[0]:.1f}"
    table = Table("figure", "value", title=title)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
