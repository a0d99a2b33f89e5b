"""How soon a picture is there, and how old it is, in a real browser in front of a real fleet.

``python -m benchmarks.latency [--mode play|train] [--transport mse|webrtc] [--joins 30]
[--seconds 60] [--json FILE]`` prints the time from opening the page's stream to the first painted
picture, and the time from a tic drawn to its pixels on the page. For the latter the worker's frames
carry the time in black and white squares, drawn by this script and by no switch of the product
(``STAMPING``), and the page's own video element is read back.
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
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.support.browser import CHROMIUM_FLAGS
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages import StreamState
from metabonk.settings.schema import available_cores

GAME = "doom:basic"
BITS, SIDE = 24, 24
"""Squares in the upper left corner, each of so many pixels: Unix time, milliseconds modulo 2²⁴.
Below them the same inverted: a picture whose rows don't agree is not counted."""

STALL_MS = 250
JOIN_TIMEOUT_MS = 20_000
SETTLE_MS = 5_000

# Python runs it at the start of every process that finds it on its path. The play thread submits
# every frame as soon as it is drawn, so the time of the call is that of the frame.
STAMPING = f"""
import sys
if "worker" in sys.orig_argv:
    import time
    from metabonk.frame import Frame
    from metabonk.worker.stream import WorkerStream
    submit_frame = WorkerStream.submit_frame
    def submit_stamped(self, frame, **timing):
        now = int(time.time() * 1000)
        pixels = frame.pixels.copy()
        for bit in range({BITS}):
            left = bit * {SIDE}
            value = 255 if now >> bit & 1 else 0
            pixels[:{SIDE}, left : left + {SIDE}] = value
            pixels[{SIDE} : 2 * {SIDE}, left : left + {SIDE}] = 255 - value
        stamped = Frame(pixels, frame.captured_at)
        stamped.thoughts = frame.thoughts
        submit_frame(self, stamped, **timing)
    WorkerStream.submit_frame = submit_stamped
"""

# Notes when the page first asks for a stream, when a picture came, when it is painted, and how old
# it is then. A fragment's time is in its tfdt box, 60 bytes from its start (streaming/fmp4.py).
WATCHING = """
(() => {
  const seen = { asked: null, painted: null, ages: [], held: [], gaps: [], unread: 0, last: null };
  const arrived = new Map();
  window.seen = seen;
  const ask = () => { seen.asked ??= performance.now(); };
  const note = ({ data }) => {
    if (typeof data === "string" || data.byteLength < 68) return;
    const view = new DataView(data);
    if (view.getUint32(4) !== 0x6d6f6f66) return;
    const time = Number(view.getBigUint64(60)) / 90;
    arrived.set(Math.round(time), performance.now());
    if (arrived.size > 500) arrived.delete(arrived.keys().next().value);
  };
  for (const name of ["WebSocket", "RTCPeerConnection"]) {
    const Original = window[name];
    window[name] = class extends Original {
      constructor(...given) {
        ask();
        super(...given);
        if (name === "WebSocket") this.addEventListener("message", note);
      }
    };
  }
  const canvas = new OffscreenCanvas(BITS * SIDE, 2 * SIDE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (video) => {
    const [width, height] = [BITS * SIDE, 2 * SIDE];
    context.drawImage(video, 0, 0, width, height, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const isWhite = (bit, row) =>
      data[4 * ((row * SIDE + SIDE / 2) * width + bit * SIDE + SIDE / 2)] > 127;
    let value = 0;
    for (let bit = 0; bit < BITS; bit += 1) {
      if (isWhite(bit, 0) === isWhite(bit, 1)) return null;
      if (isWhite(bit, 0)) value += 2 ** bit;
    }
    return value;
  };
  const watch = (video) => {
    const painted = (now, { expectedDisplayTime, mediaTime }) => {
      const shown = Math.max(performance.now(), expectedDisplayTime);
      seen.painted ??= shown;
      if (seen.last !== null) seen.gaps.push(shown - seen.last);
      seen.last = shown;
      const drawn = read(video);
      if (drawn === null) seen.unread += 1;
      else {
        const age = ((performance.timeOrigin + shown) % 2 ** BITS) - drawn;
        seen.ages.push((age + 2 ** BITS) % 2 ** BITS);
      }
      const came = arrived.get(Math.round(mediaTime * 1000));
      if (came !== undefined) seen.held.push(shown - came);
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


class Watched(NamedTuple):
    """What was noted while a page was watched, milliseconds, a figure a picture.

    Attributes:
        ages: from drawn to painted.
        held: of that, from its arrival in the page on; empty over WebRTC, which doesn't tell.
        gaps: between two pictures.
        unread: pictures whose code could not be read.
    """

    ages: list[float]
    held: list[float]
    gaps: list[float]
    unread: int


def open_page(browser: Browser, address: str) -> Page:
    """A desktop's page, which is watched; returns when it has painted a picture."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCHING)
    page.goto(address)
    page.wait_for_function("window.seen.painted !== null", timeout=JOIN_TIMEOUT_MS)
    return page


def join(browser: Browser, address: str) -> float:
    """Opens the page anew; milliseconds from asking for the stream to the first painted picture."""
    page = open_page(browser, address)
    taken = page.evaluate("window.seen.painted - window.seen.asked")
    page.close()
    return float(taken)


def watch(browser: Browser, address: str, seconds: float) -> Watched:
    """Watches one page for a while."""
    page = open_page(browser, address)
    page.wait_for_timeout(SETTLE_MS)
    page.evaluate("Object.assign(window.seen, { ages: [], held: [], gaps: [], unread: 0 })")
    page.wait_for_timeout(1_000 * seconds)
    noted = page.evaluate("(({ ages, held, gaps, unread }) => [ages, held, gaps, unread])(seen)")
    transport = page.evaluate("document.querySelector('video').dataset.transport")
    print(f"watched over {transport}")
    page.close()
    return Watched(*noted)


def measure(mode: str, transport: str, joins: int, seconds: float) -> dict[str, float]:
    """Runs a fleet of one live worker and a browser; the figures, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "stamp").mkdir()
        (here / "stamp" / "sitecustomize.py").write_text(STAMPING)
        paths = [str(here / "stamp"), os.environ.get("PYTHONPATH", "")]
        environment = {
            "METABONK_CPU_MAX_SESSIONS": "1",
            # The code in the picture is read at the size it was drawn at.
            "METABONK_STREAM_ADAPTIVE": "false",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        if mode == "play":
            train_a_little(here)
        arguments = ["--mode", mode, "--workers", "1"]
        if mode == "train":
            arguments += ["--game", GAME]
        with run_fleet(here, *arguments, environment=environment) as fleet:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
            figures = _look(fleet, transport, joins, seconds)
            fleet.stop()
    return figures


def train_a_little(folder: Path) -> None:
    """Makes a run with a checkpoint, for a fleet that plays."""
    debug = (sys.executable, "-m", "metabonk.cli.main", "debug", "--game", GAME, "--steps", "2100")
    subprocess.run(debug, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _look(fleet: FleetUnderTest, transport: str, joins: int, seconds: float) -> dict[str, float]:
    address = f"{fleet.page}/stream?worker=omega-0&transport={transport}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        waits = [join(browser, address) for _ in range(joins)]
        watched = watch(browser, address, seconds)
        browser.close()
    held = {f"held_p{share}_ms": quantile(watched.held, share) for share in (50, 95)}
    return {
        "join_p50_ms": quantile(waits, 50),
        "join_p95_ms": quantile(waits, 95),
        "latency_p50_ms": quantile(watched.ages, 50),
        "latency_p95_ms": quantile(watched.ages, 95),
        **(held if watched.held else {}),
        "pictures_per_s": len(watched.gaps) / seconds,
        "unread": watched.unread,
        "gap_p95_ms": quantile(watched.gaps, 95),
        "longest_gap_ms": max(watched.gaps),
        "stalls": sum(gap > STALL_MS for gap in watched.gaps),
    }


def chromium() -> str:
    """Path of the browser."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("chromium is not on PATH; 'apt install chromium' adds it")
    return found


def quantile(values: Sequence[float], percent: int) -> float:
    """The value below which ``percent`` of them lie; NaN of fewer than two."""
    if len(values) < 2:
        return float("nan")
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
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    title = f"{arguments.transport}, --mode {arguments.mode}; {machine}"
    table = Table("figure", "value", title=title)
    for name, value in figures.items():
        table.add_row(name, f"{value:.0f}")
    Console().print(table)
    if arguments.json:
        result = {"machine": machine, "mode": arguments.mode, "transport": arguments.transport}
        arguments.json.write_text(json.dumps(result | figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
