"""How soon a picture is there, and how old it is, in a real browser in front of a real fleet.

``python -m benchmarks.latency [--mode play|train] [--transport mse|webrtc] [--joins 30]
[--seconds 60] [--json FILE]`` prints the time from opening the page's stream to the first painted
picture, and the time from a tic drawn to its pixels on the page. For the latter the worker's frames
carry the time in black and white squares, drawn by this script and by no switch of the product
(``stamp``), and the page's own video element is read back.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.browser.conftest import FLAGS
from tests.fleet import FleetUnderTest, run_fleet, until

from metabonk.messages import StreamState
from metabonk.settings.schema import available_cores

GAME = "doom:basic"
BITS, SIDE = 24, 24
"""Squares in the upper left corner, each of so many pixels: Unix time, milliseconds modulo 2²⁴."""

STALL_MS = 250
JOIN_TIMEOUT_MS = 20_000

# Python runs it at the start of every process that finds it on its path.
STAMPING = f"""
import sys
if "worker" in sys.orig_argv:
    import time
    from metabonk.worker import streamer
    unstamped = streamer.Streamer.offer
    def offer(self, pixels, thought=None):
        pixels = pixels.copy()
        now = int(time.time() * 1000)
        for bit in range({BITS}):
            left = bit * {SIDE}
            pixels[:{SIDE}, left : left + {SIDE}] = 255 if now >> bit & 1 else 0
        return unstamped(self, pixels, thought)
    streamer.Streamer.offer = offer
"""

# Notes when the page first asks for a stream, when a picture is painted, and how old it is.
WATCHING = """
(() => {
  const seen = { asked: null, painted: null, ages: [], gaps: [], last: null };
  window.seen = seen;
  const ask = () => { seen.asked ??= performance.now(); };
  for (const name of ["WebSocket", "RTCPeerConnection"]) {
    const Original = window[name];
    window[name] = class extends Original { constructor(...given) { ask(); super(...given); } };
  }
  const canvas = new OffscreenCanvas(BITS * SIDE, SIDE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (video) => {
    context.drawImage(video, 0, 0, BITS * SIDE, SIDE, 0, 0, BITS * SIDE, SIDE);
    const { data } = context.getImageData(0, SIDE / 2, BITS * SIDE, 1);
    let value = 0;
    for (let bit = 0; bit < BITS; bit += 1)
      if (data[4 * (bit * SIDE + SIDE / 2)] > 127) value += 2 ** bit;
    return value;
  };
  const watch = (video) => {
    const painted = (now, frame) => {
      seen.painted ??= performance.now();
      if (seen.last !== null) seen.gaps.push(now - seen.last);
      seen.last = now;
      const shown = Date.now() + Math.max(0, frame.expectedDisplayTime - now);
      const age = (shown % 2 ** BITS) - read(video);
      seen.ages.push((age + 2 ** BITS) % 2 ** BITS);
      video.requestVideoFrameCallback(painted);
    };
    video.requestVideoFrameCallback(painted);
  };
  const find = () => {
    const video = document.querySelector("video");
    if (video) watch(video);
    else requestAnimationFrame(find);
  };
  find();
})();
""".replace("BITS", str(BITS)).replace("SIDE", str(SIDE))


def join(browser: Browser, address: str) -> float:
    """Opens the page anew; milliseconds from asking for the stream to the first painted picture."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCHING)
    page.goto(address)
    page.wait_for_function("window.seen.painted !== null", timeout=JOIN_TIMEOUT_MS)
    taken = page.evaluate("window.seen.painted - window.seen.asked")
    page.close()
    return float(taken)


def watch(browser: Browser, address: str, seconds: float) -> tuple[list[float], list[float]]:
    """Ages of the pictures and gaps between them, milliseconds."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCHING)
    page.goto(address)
    page.wait_for_function("window.seen.painted !== null", timeout=JOIN_TIMEOUT_MS)
    page.wait_for_timeout(3_000)
    page.evaluate("Object.assign(window.seen, { ages: [], gaps: [] })")
    page.wait_for_timeout(1_000 * seconds)
    ages, gaps = page.evaluate("[window.seen.ages, window.seen.gaps]")
    page.close()
    return ages, gaps


def measure(mode: str, transport: str, joins: int, seconds: float) -> dict[str, float]:
    """Runs a fleet of one live worker and a browser; the figures, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "stamp").mkdir()
        (here / "stamp" / "sitecustomize.py").write_text(STAMPING)
        paths = [str(here / "stamp"), os.environ.get("PYTHONPATH", "")]
        environment = {"METABONK_CPU_MAX_SESSIONS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        if mode == "play":
            _train_a_little(here)
        arguments = ["--mode", mode, "--workers", "1"]
        if mode == "train":
            arguments += ["--game", GAME]
        with run_fleet(here, *arguments, environment=environment) as fleet:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
            figures = _look(fleet, transport, joins, seconds)
            fleet.stop()
    return figures


def _train_a_little(folder: Path) -> None:
    debug = (sys.executable, "-m", "metabonk.cli.main", "debug", "--game", GAME, "--steps", "2100")
    subprocess.run(debug, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _look(fleet: FleetUnderTest, transport: str, joins: int, seconds: float) -> dict[str, float]:
    address = f"{fleet.page}/stream?worker=omega-0"
    if transport == "webrtc":
        address += "&transport=webrtc"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        waits = [join(browser, address) for _ in range(joins)]
        ages, gaps = watch(browser, address, seconds)
        browser.close()
    return {
        "join_p50_ms": _quantile(waits, 50),
        "join_p95_ms": _quantile(waits, 95),
        "latency_p50_ms": _quantile(ages, 50),
        "latency_p95_ms": _quantile(ages, 95),
        "pictures_per_s": len(ages) / seconds,
        "longest_gap_ms": max(gaps),
        "stalls": sum(gap > STALL_MS for gap in gaps),
    }


def _chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("chromium is not on PATH; 'apt install chromium' adds it")
    return found


def _quantile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["play", "train"], default="play")
    parser.add_argument("--transport", choices=["mse", "webrtc"], default="mse")
    parser.add_argument("--joins", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.mode, arguments.transport, arguments.joins, arguments.seconds)
    machine = f"{platform.platform()}, {available_cores()} cores"
    table = Table("figure", "value", title=f"{arguments.transport}, --mode {arguments.mode}")
    for name, value in figures.items():
        table.add_row(name, f"{value:.0f}")
    Console().print(table)
    if arguments.json:
        result = {"machine": machine, "mode": arguments.mode, "transport": arguments.transport}
        arguments.json.write_text(json.dumps(result | figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
