"""Whether the broadcast can be left on a second screen: stalls, buffer and memory over minutes.

``python -m benchmarks.watching [--minutes 10] [--mode play|train] [--json FILE]`` starts a real
fleet of three workers with two encoder sessions, opens the broadcast in a real browser and watches
the picture that is large, through the director's rotations. After two thirds of the time the worker
on stage is pinned and killed (SIGKILL); how long its picture takes to come back is told apart.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from benchmarks.latency import GAME, STALL_MS, chromium, train_a_little
from metabonk.messages import StreamState
from metabonk.settings.schema import available_cores

WORKERS, SESSIONS = 3, 2
ROTATIONS = 6
"""Turns of the director that fit into the time; each may be cut to and none may be felt."""
SETTLE_S = 5.0
PINNED_S = 4.0
BACK_WITHIN_S = 90.0
SAMPLE_S = 1.0
MIB = 2**20

# Notes each picture that is painted on stage, and how much video the players keep.
WATCHING = """
(() => {
  const seen = { last: null, worker: null, gaps: [], cuts: [], pictures: 0 };
  window.seen = seen;
  const known = new WeakSet();
  const watch = (video) => {
    known.add(video);
    const painted = (now, { expectedDisplayTime }) => {
      video.requestVideoFrameCallback(painted);
      const tile = video.closest(".tile");
      if (tile?.dataset.place !== "stage") return;
      const at = performance.timeOrigin + Math.max(performance.now(), expectedDisplayTime);
      const worker = tile.getAttribute("aria-label");
      if (seen.last !== null) seen.gaps.push([at, at - seen.last, worker]);
      if (worker !== seen.worker) seen.cuts.push([at, worker]);
      Object.assign(seen, { last: at, worker, pictures: seen.pictures + 1 });
    };
    video.requestVideoFrameCallback(painted);
  };
  setInterval(() => {
    for (const video of document.querySelectorAll("video")) if (!known.has(video)) watch(video);
  }, 100);
})();
"""

# Seconds of video kept, the most of all players.
KEPT = """Math.max(0, ...[...document.querySelectorAll('video')].map(({ buffered }) =>
  buffered.length ? buffered.end(buffered.length - 1) - buffered.start(0) : 0))"""


@dataclass
class Samples:
    """What was read once a second: seconds of video kept, and bytes of memory."""

    kept: list[float] = field(default_factory=list)
    heap: list[float] = field(default_factory=list)
    browser: list[float] = field(default_factory=list)
    orchestrator: list[float] = field(default_factory=list)

    def take(self, page: Page, session: CDPSession, fleet: FleetUnderTest) -> None:
        """Reads them once."""
        self.kept.append(float(page.evaluate(KEPT)))
        metrics = session.send("Performance.getMetrics")["metrics"]
        self.heap.append(next(m["value"] for m in metrics if m["name"] == "JSHeapUsedSize"))
        self.browser.append(float(_browsers_memory()))
        self.orchestrator.append(float(psutil.Process(fleet.process.pid).memory_info().rss))


def _browsers_memory() -> int:
    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            if "chrom" in child.name():
                total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def measure(mode: str, minutes: float) -> dict[str, Any]:
    """Runs a fleet and a browser; the figures."""
    seconds = 60 * minutes
    environment = {
        "METABONK_CPU_MAX_SESSIONS": str(SESSIONS),
        # Two streams, their decoding and three games share the cores.
        "METABONK_STREAM_WIDTH": "640",
        "METABONK_STREAM_HEIGHT": "360",
        "METABONK_FEATURED_ROTATE_S": str(max(5, round(seconds / ROTATIONS))),
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if mode == "play":
            train_a_little(here)
        arguments = ["--mode", mode, "--workers", str(WORKERS)]
        if mode == "train":
            arguments += ["--game", GAME]
        with run_fleet(here, *arguments, environment=environment) as fleet:
            until(
                "every session is in use",
                lambda: len(fleet.in_state(StreamState.LIVE)) == SESSIONS,
                120,
            )
            until("every worker plays", lambda: len(fleet.statuses()) == WORKERS, 60)
            figures = _watch(fleet, seconds)
            fleet.stop()
    return figures


def _watch(fleet: FleetUnderTest, seconds: float) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(WATCHING)
        page.goto(f"{fleet.page}/neural/broadcast")
        page.wait_for_function("window.seen.last !== null", timeout=30_000)
        page.wait_for_timeout(1_000 * SETTLE_S)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        page.evaluate("Object.assign(seen, { gaps: [], cuts: [], pictures: 0 })")
        samples, began, killed = Samples(), time.monotonic(), None
        while (passed := time.monotonic() - began) < seconds:
            if killed is None and passed > seconds * 2 / 3:
                killed = _kill_who_is_on_stage(fleet, page)
            samples.take(page, session, fleet)
            page.wait_for_timeout(1_000 * SAMPLE_S)
        gaps, cuts, pictures = page.evaluate("[seen.gaps, seen.cuts, seen.pictures]")
        browser.close()
    assert killed is not None
    return _figures(gaps, cuts, pictures, samples, killed, seconds)


@dataclass
class Killed:
    """What became of the worker that was killed; Unix time, seconds.

    Attributes:
        worker: its name.
        at: when it was killed.
        returned: when its port answered again.
        shown: when its picture was painted again.
        released: when the broadcast followed the director again.
    """

    worker: str
    at: float
    returned: float
    shown: float
    released: float


def _kill_who_is_on_stage(fleet: FleetUnderTest, page: Page) -> Killed:
    """Pins it first, so that the broadcast waits for it instead of cutting to another."""
    page.keyboard.press("p")
    page.wait_for_timeout(1_000 * PINNED_S)
    worker = page.evaluate("seen.worker")
    status = fleet.statuses()[worker]
    at = time.time()
    psutil.Process(status.pid).kill()
    address = f"{fleet.worker(status.worker_index)}/status"

    def is_another() -> bool:
        return bool(httpx.get(address, timeout=1.0).json()["pid"] != status.pid)

    until("the worker is back", is_another, BACK_WITHIN_S)
    returned = time.time()
    # What it painted sooner was still in the page's buffer.
    page.wait_for_function(
        "([returned, worker]) => seen.last > returned && seen.worker === worker",
        arg=[1_000 * returned, worker],
        timeout=1_000 * BACK_WITHIN_S,
    )
    shown = page.evaluate("back => seen.gaps.find(([at]) => at > back)[0]", 1_000 * returned)
    page.wait_for_timeout(1_000 * PINNED_S)
    page.keyboard.press("0")
    return Killed(worker, at, returned, shown / 1_000, time.time())


def _figures(
    gaps: list[tuple[float, float, str]],
    cuts: list[tuple[float, str]],
    pictures: int,
    samples: Samples,
    killed: Killed,
    seconds: float,
) -> dict[str, Any]:
    def apart(at_ms: float) -> bool:
        return killed.at <= at_ms / 1_000 <= killed.shown + 0.001

    watched = [(at, gap, worker) for at, gap, worker in gaps if not apart(at)]
    stalls = [(at, gap, worker) for at, gap, worker in watched if gap > STALL_MS]
    return {
        "pictures_per_s": pictures / seconds,
        "rotations": len(cuts),
        "longest_gap_ms": max(gap for _, gap, _ in watched),
        "stalls": len(stalls),
        "stalls_at": [
            f"{at / 1_000 - killed.at:+.0f} s of the kill: {gap:.0f} ms, {worker}"
            for at, gap, worker in stalls
        ],
        "kill_to_return_s": killed.returned - killed.at,
        "return_to_picture_s": killed.shown - killed.returned,
        "video_kept_most_s": max(samples.kept),
        "js_heap_mib": _by_quarter(samples.heap),
        "browser_mib": _by_quarter(samples.browser),
        "orchestrator_mib": _by_quarter(samples.orchestrator),
    }


def _by_quarter(sizes: list[float]) -> list[str]:
    """The most in each quarter of the time: what is bounded stops growing."""
    quarters = np.array_split(np.array(sizes) / MIB, 4)
    return [f"{quarter.max():.1f}" for quarter in quarters if quarter.size]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--mode", choices=["play", "train"], default="play")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.mode, arguments.minutes)
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    table = Table("figure", "value", title=f"{arguments.minutes:g} min, --mode {arguments.mode}")
    for name, value in figures.items():
        shown = "\n".join(value) if isinstance(value, list) else f"{value:.1f}"
        table.add_row(name, shown)
    Console().print(machine, table)
    if arguments.json:
        result = {"machine": machine, "mode": arguments.mode, "minutes": arguments.minutes}
        arguments.json.write_text(json.dumps(result | figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
