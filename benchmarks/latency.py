"""Join time and latency of a stream in a real browser in front of a real fleet.

``python -m benchmarks.latency [--mode play|train] [--transport mse|webrtc] [--joins 30]
[--seconds 60] [--json FILE]`` prints, in milliseconds, the time from opening a stream to its first
painted frame and the time from drawing a frame to painting it. To measure the latter, this script
draws the time into the worker's frames as black and white squares (``STAMPING``) and reads it from
the page's video element.
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

from metabonk.messages.workers import StreamState
from metabonk.settings.schema import available_cores

GAME = "doom:basic"
BITS, SIDE = 24, 24
"""Number of squares in the upper left corner, and their side in pixels.

They encode Unix time in milliseconds modulo 2²⁴. A second row has them inverted; frames whose rows
disagree are not counted.
"""

STALL_MS = 250
JOIN_TIMEOUT_MS = 20_000
SETTLE_MS = 5_000

# A sitecustomize module, which every Python process runs at its start. The play thread submits a
# frame as soon as it is drawn, so the time of the call is that of the frame.
STAMPING = f"""
import sys
if {{"worker", "fork-server"}} & set(sys.orig_argv):
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

# Records when the page first requests a stream, when a frame arrives and is painted, and its age
# then. A fragment's time is in its tfdt box, 60 bytes from its start (streaming/fmp4.py).
OBSERVER = """
(() => {
  const stats = {
    requested: null, painted: null, ages: [], held: [], gaps: [], unread: 0, last: null,
  };
  const arrived = new Map();
  window.stats = stats;
  const onRequest = () => { stats.requested ??= performance.now(); };
  const onMessage = ({ data }) => {
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
        onRequest();
        super(...given);
        if (name === "WebSocket") this.addEventListener("message", onMessage);
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
      stats.painted ??= shown;
      if (stats.last !== null) stats.gaps.push(shown - stats.last);
      stats.last = shown;
      const drawn = read(video);
      if (drawn === null) stats.unread += 1;
      else {
        const age = ((performance.timeOrigin + shown) % 2 ** BITS) - drawn;
        stats.ages.push((age + 2 ** BITS) % 2 ** BITS);
      }
      const arrivedAt = arrived.get(Math.round(mediaTime * 1000));
      if (arrivedAt !== undefined) stats.held.push(shown - arrivedAt);
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


class StreamStats(NamedTuple):
    """Measurements of one page, milliseconds per frame.

    Attributes:
        ages: from drawing to painting.
        held: from arrival in the page to painting; empty over WebRTC, which hides the arrival.
        gaps: between two painted frames.
        unread: number of frames whose time could not be read.
    """

    ages: list[float]
    held: list[float]
    gaps: list[float]
    unread: int


def open_page(browser: Browser, address: str) -> Page:
    """Open a page at desktop size; return when it has painted a frame."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(OBSERVER)
    page.goto(address)
    page.wait_for_function("window.stats.painted !== null", timeout=JOIN_TIMEOUT_MS)
    return page


def join(browser: Browser, address: str) -> float:
    """Open a page; return milliseconds from requesting the stream to the first painted frame."""
    page = open_page(browser, address)
    elapsed = page.evaluate("window.stats.painted - window.stats.requested")
    page.close()
    return float(elapsed)


def watch(browser: Browser, address: str, seconds: float) -> StreamStats:
    """Watch one page for ``seconds``."""
    page = open_page(browser, address)
    page.wait_for_timeout(SETTLE_MS)
    page.evaluate("Object.assign(window.stats, { ages: [], held: [], gaps: [], unread: 0 })")
    page.wait_for_timeout(1_000 * seconds)
    measured = page.evaluate(
        "(({ ages, held, gaps, unread }) => [ages, held, gaps, unread])(stats)"
    )
    transport = page.evaluate("document.querySelector('video').dataset.transport")
    print(f"watched over {transport}")
    page.close()
    return StreamStats(*measured)


def measure(mode: str, transport: str, joins: int, seconds: float) -> dict[str, float]:
    """Run a fleet of one live worker and a browser; return the measurements, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "stamp").mkdir()
        (here / "stamp" / "sitecustomize.py").write_text(STAMPING)
        paths = [str(here / "stamp"), os.environ.get("PYTHONPATH", "")]
        environment = {
            "METABONK_CPU_MAX_SESSIONS": "1",
            # The squares are read at the size at which they are drawn.
            "METABONK_STREAM_ADAPTIVE": "false",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        if mode == "play":
            train_briefly(here)
        arguments = ["--mode", mode, "--workers", "1"]
        if mode == "train":
            arguments += ["--game", GAME]
        with run_fleet(here, *arguments, environment=environment) as fleet:
            until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
            result = _measure_fleet(fleet, transport, joins, seconds)
            fleet.stop()
    return result


def train_briefly(folder: Path) -> None:
    """Create a run with a checkpoint, for play mode."""
    debug = (sys.executable, "-m", "metabonk.cli.main", "debug", "--game", GAME, "--steps", "2100")
    subprocess.run(debug, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _measure_fleet(
    fleet: FleetUnderTest, transport: str, joins: int, seconds: float
) -> dict[str, float]:
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
        "frames_per_s": len(watched.gaps) / seconds,
        "unread": watched.unread,
        "gap_p95_ms": quantile(watched.gaps, 95),
        "longest_gap_ms": max(watched.gaps),
        "stalls": sum(gap > STALL_MS for gap in watched.gaps),
    }


def chromium() -> str:
    """Return the path of the browser."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("chromium is not on PATH; 'apt install chromium' adds it")
    return found


def quantile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, or NaN if there are fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["play", "train"], default="play")
    parser.add_argument("--transport", choices=["mse", "webrtc"], default="mse")
    parser.add_argument("--joins", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.mode, arguments.transport, arguments.joins, arguments.seconds)
    load = os.getloadavg()[0]
    machine = f"{platform.platform()}, {available_cores()} cores, load {load:.1f}"
    title = f"{arguments.transport}, --mode {arguments.mode}; {machine}"
    table = Table("measurement", "value", title=title)
    for name, value in result.items():
        table.add_row(name, f"{value:.0f}")
    Console().print(table)
    if arguments.json:
        setup = {"machine": machine, "mode": arguments.mode, "transport": arguments.transport}
        arguments.json.write_text(json.dumps(setup | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
