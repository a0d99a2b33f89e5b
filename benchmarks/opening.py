"""Opening of the page in a real browser, and what it asks for while somebody watches.

``python -m benchmarks.opening [--path /] [--opens 20] [--seconds 30] [--json FILE]`` starts a fleet
of two live workers and opens the page with an empty cache, again and again. It prints when the page
asks for the first stream and when the first frame is painted, milliseconds after the navigation;
what is transferred until then; and the requests of a page that stays open. The workers show a
pattern, so the times are those of page, orchestrator and encoder.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.waiting import until

from benchmarks.latency import chromium
from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

WORKERS = 2
TIMEOUT_MS = 20_000
SETTLE_MS = 3_000

# Records when the page asks for a stream and when the first frame of any video is painted.
OBSERVER = """
(() => {
  window.opening = { asked: null, painted: null };
  const Original = window.WebSocket;
  window.WebSocket = class extends Original {
    constructor(...given) {
      window.opening.asked ??= performance.now();
      super(...given);
    }
  };
  const known = new WeakSet();
  const find = () => {
    for (const video of document.querySelectorAll("video")) {
      if (known.has(video)) continue;
      known.add(video);
      video.requestVideoFrameCallback((now, { expectedDisplayTime }) => {
        window.opening.painted ??= Math.max(performance.now(), expectedDisplayTime);
      });
    }
    if (window.opening.painted === null) requestAnimationFrame(find);
  };
  find();
})();
"""


def measure(path: str, opens: int, seconds: float) -> dict[str, Any]:
    """Run a fleet and a browser; return the measurements."""
    environment = {
        "METABONK_CPU_MAX_SESSIONS": str(WORKERS),
        # Small enough that two streams and their decoding share the cores.
        "METABONK_STREAM_WIDTH": "640",
        "METABONK_STREAM_HEIGHT": "360",
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--workers", str(WORKERS))
        with run_gameless_fleet(Path(folder), *arguments, environment=environment) as fleet:
            until(
                "every worker is live",
                lambda: len(fleet.in_state(StreamState.LIVE)) == WORKERS,
                120,
            )
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium(), args=CHROMIUM_FLAGS
                )
                opened = [_open(browser, f"{fleet.page}{path}") for _ in range(opens)]
                watched = _watch(browser, fleet, path, seconds)
                browser.close()
            fleet.stop()
    asked, painted, sizes = zip(*opened, strict=True)
    return {
        "page opened to stream asked for, p50 ms": statistics.median(asked),
        "page opened to first frame painted, p50 ms": statistics.median(painted),
        "page opened to first frame painted, p95 ms": _p95(painted),
        "transferred by then, kB": statistics.median(sizes) / 1000,
        **watched,
    }


def _open(browser: Browser, url: str) -> tuple[float, float, float]:
    """Open a page with an empty cache; return both times, and the bytes of its files."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(OBSERVER)
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.opening?.painted !== null", timeout=TIMEOUT_MS)
    asked, painted, size = page.evaluate(
        """[opening.asked, opening.painted, performance.getEntries()
          .filter(({ transferSize }) => transferSize > 0)
          .reduce((sum, { transferSize }) => sum + transferSize, 0)]"""
    )
    context.close()
    return asked, painted, size


def _watch(browser: Browser, fleet: FleetUnderTest, path: str, seconds: float) -> dict[str, Any]:
    """Keep a page open; return its requests a second."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{fleet.page}{path}")
    page.locator(".player[data-state=live]").first.wait_for(timeout=TIMEOUT_MS)
    page.wait_for_timeout(SETTLE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    began = time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    rate = len(asked) / (time.monotonic() - began)
    page.close()
    return {"requests/s while watching": rate}


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[int(0.95 * (len(times) - 1))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="/neural/broadcast")
    parser.add_argument("--opens", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.path, arguments.opens, arguments.seconds)
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    table = Table("measurement", "value", title=arguments.path)
    for name, value in result.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(machine, table)
    if arguments.json:
        setup = {"machine": machine, "path": arguments.path}
        arguments.json.write_text(json.dumps(setup | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
