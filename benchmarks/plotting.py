"""Responsiveness of a learning curve with 100,000 points in a real browser.

``python -m benchmarks.plotting [--points 100000] [--json FILE]`` opens the fleet page with a
synthetic curve, moves the pointer over it, adds a point and prints the longest tasks and frame
times in milliseconds. No fleet runs: the script answers the page's requests. (The orchestrator
itself sends at most 2,000 points.)
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
from metabonk.messages.fleet import Fleet
from metabonk.messages.runs import CurvePoint
from metabonk.messages.workers import Mode
from metabonk.settings.schema import available_cores

BUILT = Path(metabonk.orchestrator.__file__).parent / "page"
KNOWN = ("/api/fleet", "/api/curve", "/api/runs", "/api/sessions")
MOVES = 300

# Durations of long tasks on the main thread and times between animation frames.
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
    """Return the measurements, milliseconds."""
    orchestrator = _Orchestrator(points)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(OBSERVING)
        page.route("**/*", orchestrator.answer)
        page.goto("http://page.test/")
        page.locator(".plot canvas").wait_for()
        page.wait_for_timeout(2_000)
        first = page.evaluate("Math.max(0, ...tasks)")
        idle = _frames(page)
        _move_over_the_plot(page)
        moving = _frames(page)
        page.evaluate("tasks.length = 0")
        orchestrator.add_point()
        page.wait_for_timeout(7_000)
        update = page.evaluate("Math.max(0, ...tasks)")
        browser.close()
    return {
        "points": points,
        "longest_task_first_drawing_ms": first,
        "longest_task_newer_points_ms": update,
        "frame_p50_idle_ms": quantile(idle, 50),
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
    """Fake orchestrator with a synthetic curve."""

    def __init__(self, points: int) -> None:
        self._random = random.Random(1)
        self._curve = [self._point(i, points) for i in range(points)]

    def add_point(self) -> None:
        """Extend the curve by one episode."""
        self._curve.append(self._point(len(self._curve), len(self._curve)))

    def answer(self, route: Route) -> None:
        """Answer a request of the page."""
        path = urlsplit(route.request.url).path
        if path.startswith("/api/"):
            if path in KNOWN:
                route.fulfill(json=self._response(path))
            else:
                route.fulfill(status=404)
            return
        file = BUILT / path.lstrip("/")
        if not file.is_file():
            file = BUILT / "index.html"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        route.fulfill(body=file.read_bytes(), content_type=kind)

    def _response(self, path: str) -> Any:
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.points)
    title = f"{available_cores()} cores, load {os.getloadavg()[0]:.1f}"
    table = Table("measurement", "value", title=title)
    for name, value in result.items():
        table.add_row(name, f"{value:,.1f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
