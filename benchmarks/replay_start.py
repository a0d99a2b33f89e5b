"""Time from opening a replay in a browser to its first frame, while a fleet trains.

``python -m benchmarks.replay_start [--replays 10] [--game doom:basic] [--json FILE]`` starts a real
fleet of two workers with one encoder session, opens the broadcast, and clicks on *Watch its last
episode* of the worker in standby, again and again: nobody has asked for any of these episodes yet.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.viewer import Spectator
from tests.support.waiting import until

from benchmarks.latency import chromium
from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

TIMEOUT_MS = 60_000
SETTLE_S = 6.0
"""On the broadcast, before each click: the renderer of the replay before has ended then."""

# Seconds from a click until the first frame of a replay is painted.
OBSERVER = """
(() => {
  let clicked = null;
  window.firstFrame = null;
  addEventListener("click", () => { clicked = performance.now(); }, { capture: true });
  const known = new WeakSet();
  setInterval(() => {
    for (const video of document.querySelectorAll(".replay-screen video")) {
      if (known.has(video)) continue;
      known.add(video);
      video.requestVideoFrameCallback((now, { expectedDisplayTime }) => {
        const shown = Math.max(performance.now(), expectedDisplayTime);
        window.firstFrame ??= (shown - clicked) / 1000;
      });
    }
  }, 5);
})();
"""


def measure(game: str, replays: int) -> dict[str, Any]:
    """Run a fleet and a browser; return the seconds to the first frame of each replay."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--mode", "train", "--workers", "2", "--game", game)
        environment = {"METABONK_CPU_MAX_SESSIONS": "1"}
        with run_fleet(Path(folder), *arguments, environment=environment) as fleet:
            live = fleet.first_in(StreamState.LIVE)
            fleet.first_in(StreamState.STANDBY)
            with Spectator(fleet.worker(live.worker_index), keep=False) as spectator:
                until("the live stream is watched", spectator.arrivals, 60)
                began = time.monotonic()
                result = _open_all(fleet, replays)
                arrivals = len(spectator.arrivals(began))
                result["live_fps"] = arrivals / (time.monotonic() - began)
                result["live_gap_s"] = spectator.longest_gap(began, time.monotonic())
            fleet.stop()
    return result


def _open_all(fleet: FleetUnderTest, replays: int) -> dict[str, Any]:
    seconds, load = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(OBSERVER)
        for _ in range(replays):
            page.goto(f"{fleet.page}/neural/broadcast")
            link = page.locator(".tile[data-place=standby]").get_by_role(
                "link", name="Watch its last episode"
            )
            link.wait_for(timeout=TIMEOUT_MS)
            page.wait_for_timeout(1000 * SETTLE_S)
            load.append(os.getloadavg()[0])
            link.click()
            page.wait_for_function("window.firstFrame !== null", timeout=TIMEOUT_MS)
            seconds.append(float(page.evaluate("window.firstFrame")))
        browser.close()
    return {"seconds": seconds, "load": load, "cores": available_cores()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=10)
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.game, arguments.replays)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    seconds = result["seconds"]
    Console().print(
        f"first frame after {statistics.median(seconds):.2f} s at the median, "
        f"{min(seconds):.2f} to {max(seconds):.2f} s; {', '.join(f'{s:.2f}' for s in seconds)}; "
        f"load {statistics.mean(result['load']):.1f} on {result['cores']} cores; "
        f"live {result['live_fps']:.1f} frames/s, longest gap {result['live_gap_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
