"""Stability of the broadcast page over minutes: stalls, buffered video and memory.

``python -m benchmarks.watching [--minutes 10] [--mode play|train] [--json FILE]`` starts a real
fleet of three workers with two encoder sessions, opens the broadcast in a real browser and watches
the worker on stage through the director's rotations. After two thirds of the time that worker is
pinned and killed (SIGKILL); the time until its video returns is reported separately.
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

from benchmarks.latency import GAME, STALL_MS, chromium, train_briefly
from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

WORKERS, SESSIONS = 3, 2
ROTATIONS = 6
"""Number of the director's turns within the run."""
SETTLE_S = 5.0
PIN_S = 4.0
RETURN_TIMEOUT_S = 90.0
SAMPLE_S = 1.0
MIB = 2**20

# Records each frame that is painted on stage.
OBSERVER = """
(() => {
  const stats = { last: null, worker: null, gaps: [], cuts: [], frames: 0 };
  window.stats = stats;
  const known = new WeakSet();
  const watch = (video) => {
    known.add(video);
    const painted = (now, { expectedDisplayTime }) => {
      video.requestVideoFrameCallback(painted);
      const tile = video.closest(".tile");
      if (tile?.dataset.place !== "stage") return;
      const at = performance.timeOrigin + Math.max(performance.now(), expectedDisplayTime);
      const worker = tile.getAttribute("aria-label");
      if (stats.last !== null) stats.gaps.push([at, at - stats.last, worker]);
      if (worker !== stats.worker) stats.cuts.push([at, worker]);
      Object.assign(stats, { last: at, worker, frames: stats.frames + 1 });
    };
    video.requestVideoFrameCallback(painted);
  };
  setInterval(() => {
    for (const video of document.querySelectorAll("video")) if (!known.has(video)) watch(video);
  }, 100);
})();
"""

# Seconds of buffered video, maximum over all players.
BUFFERED = """Math.max(0, ...[...document.querySelectorAll('video')].map(({ buffered }) =>
  buffered.length ? buffered.end(buffered.length - 1) - buffered.start(0) : 0))"""


@dataclass
class Samples:
    """Samples taken once a second: seconds of buffered video, and bytes of memory."""

    buffered: list[float] = field(default_factory=list)
    heap: list[float] = field(default_factory=list)
    browser: list[float] = field(default_factory=list)
    orchestrator: list[float] = field(default_factory=list)

    def add(self, page: Page, cdp: CDPSession, fleet: FleetUnderTest) -> None:
        """Take one sample of each."""
        self.buffered.append(float(page.evaluate(BUFFERED)))
        metrics = cdp.send("Performance.getMetrics")["metrics"]
        self.heap.append(next(m["value"] for m in metrics if m["name"] == "JSHeapUsedSize"))
        self.browser.append(float(_browser_memory()))
        self.orchestrator.append(float(psutil.Process(fleet.process.pid).memory_info().rss))


def _browser_memory() -> int:
    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            if "chrom" in child.name():
                total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def measure(mode: str, minutes: float) -> dict[str, Any]:
    """Run a fleet and a browser; return the measurements."""
    seconds = 60 * minutes
    environment = {
        "METABONK_CPU_MAX_SESSIONS": str(SESSIONS),
        # Small enough that two streams, their decoding and three games share the cores.
        "METABONK_STREAM_WIDTH": "640",
        "METABONK_STREAM_HEIGHT": "360",
        "METABONK_FEATURED_ROTATE_S": str(max(5, round(seconds / ROTATIONS))),
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if mode == "play":
            train_briefly(here)
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
            result = _watch(fleet, seconds)
            fleet.stop()
    return result


def _watch(fleet: FleetUnderTest, seconds: float) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(OBSERVER)
        page.goto(f"{fleet.page}/neural/broadcast")
        page.wait_for_function("window.stats.last !== null", timeout=30_000)
        page.wait_for_timeout(1_000 * SETTLE_S)
        cdp = page.context.new_cdp_session(page)
        cdp.send("Performance.enable")
        page.evaluate("Object.assign(stats, { gaps: [], cuts: [], frames: 0 })")
        samples, began, kill = Samples(), time.monotonic(), None
        while (elapsed := time.monotonic() - began) < seconds:
            if kill is None and elapsed > seconds * 2 / 3:
                kill = _kill_worker_on_stage(fleet, page)
            samples.add(page, cdp, fleet)
            page.wait_for_timeout(1_000 * SAMPLE_S)
        gaps, cuts, frames = page.evaluate("[stats.gaps, stats.cuts, stats.frames]")
        browser.close()
    assert kill is not None
    return _summarize(gaps, cuts, frames, samples, kill, seconds)


@dataclass
class Kill:
    """Kill of a worker; Unix time, seconds.

    Attributes:
        worker: id of the worker.
        at: when it was killed.
        returned: when its port responded again.
        shown: when its video was painted again.
        released: when the broadcast followed the director again.
    """

    worker: str
    at: float
    returned: float
    shown: float
    released: float


def _kill_worker_on_stage(fleet: FleetUnderTest, page: Page) -> Kill:
    """Pin the worker on stage, so that the broadcast waits for it, and kill it."""
    page.keyboard.press("p")
    page.wait_for_timeout(1_000 * PIN_S)
    worker = page.evaluate("stats.worker")
    status = fleet.statuses()[worker]
    at = time.time()
    psutil.Process(status.pid).kill()
    address = f"{fleet.worker(status.worker_index)}/status"

    def has_restarted() -> bool:
        return bool(httpx.get(address, timeout=1.0).json()["pid"] != status.pid)

    until("the worker is back", has_restarted, RETURN_TIMEOUT_S)
    returned = time.time()
    # Frames painted before that were still in the page's buffer.
    page.wait_for_function(
        "([returned, worker]) => stats.last > returned && stats.worker === worker",
        arg=[1_000 * returned, worker],
        timeout=1_000 * RETURN_TIMEOUT_S,
    )
    shown = page.evaluate("back => stats.gaps.find(([at]) => at > back)[0]", 1_000 * returned)
    page.wait_for_timeout(1_000 * PIN_S)
    page.keyboard.press("0")
    return Kill(worker, at, returned, shown / 1_000, time.time())


def _summarize(
    gaps: list[tuple[float, float, str]],
    cuts: list[tuple[float, str]],
    frames: int,
    samples: Samples,
    kill: Kill,
    seconds: float,
) -> dict[str, Any]:
    def is_during_outage(at_ms: float) -> bool:
        return kill.at <= at_ms / 1_000 <= kill.shown + 0.001

    regular = [(at, gap, worker) for at, gap, worker in gaps if not is_during_outage(at)]
    stalls = [(at, gap, worker) for at, gap, worker in regular if gap > STALL_MS]
    return {
        "frames_per_s": frames / seconds,
        "rotations": len(cuts),
        "longest_gap_ms": max(gap for _, gap, _ in regular),
        "stalls": len(stalls),
        "stalls_at": [
            f"{at / 1_000 - kill.at:+.0f} s of the kill: {gap:.0f} ms, {worker}"
            for at, gap, worker in stalls
        ],
        "kill_to_return_s": kill.returned - kill.at,
        "return_to_frame_s": kill.shown - kill.returned,
        "max_buffered_s": max(samples.buffered),
        "js_heap_mib": _by_quarter(samples.heap),
        "browser_mib": _by_quarter(samples.browser),
        "orchestrator_mib": _by_quarter(samples.orchestrator),
    }


def _by_quarter(sizes: list[float]) -> list[str]:
    """Return the maximum in MiB of each quarter of the run, which stays constant without a leak."""
    quarters = np.array_split(np.array(sizes) / MIB, 4)
    return [f"{quarter.max():.1f}" for quarter in quarters if quarter.size]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--mode", choices=["play", "train"], default="play")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.mode, arguments.minutes)
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    table = Table(
        "measurement", "value", title=f"{arguments.minutes:g} min, --mode {arguments.mode}"
    )
    for name, value in result.items():
        shown = "\n".join(value) if isinstance(value, list) else f"{value:.1f}"
        table.add_row(name, shown)
    Console().print(machine, table)
    if arguments.json:
        setup = {"machine": machine, "mode": arguments.mode, "minutes": arguments.minutes}
        arguments.json.write_text(json.dumps(setup | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
