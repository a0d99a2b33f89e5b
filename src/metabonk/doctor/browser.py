"""A headless browser on this machine. Viewers may use others elsewhere."""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from metabonk.doctor.host import Finding

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_S = 30.0
EMPTY_S = 5.0
POLL_S = 0.1
PORT_FILE = "DevToolsActivePort"
EVALUATE = {
    "expression": "[document.readyState == 'complete', document.body?.innerText ?? '']",
    "returnByValue": True,
}
"""Parameters of ``Runtime.evaluate`` (Chrome DevTools Protocol)."""

H264 = 'video/mp4; codecs="avc1.42E020"'
"""Constrained Baseline, which every encoder here produces."""


def find_browser() -> str | None:
    """Return the path of a browser that takes Chromium's options; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def rendered_text(browser: str, url: str) -> str:
    """Return the text of a page as soon as its scripts have made some.

    Asked of the browser's own interface for developers: ``--dump-dom`` does not wait for scripts
    that are loaded by others, and waits for ever for a page that keeps a connection open.

    Returns:
        An empty text if there is none ``EMPTY_S`` after everything has been loaded.

    Raises:
        OSError: the browser can't be started, or does not answer.
        subprocess.SubprocessError: it failed, or loads the page for longer than ``TIMEOUT_S``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-sandbox", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", url),
        ]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
            try:
                return _text_of(process, Path(profile) / PORT_FILE)
            except (httpx.HTTPError, WebSocketException) as error:
                raise OSError(f"{browser} does not answer: {error}") from None
            finally:
                process.kill()


def _text_of(process: "subprocess.Popen[bytes]", port_file: Path) -> str:
    """Return the text of the page that a browser opens, see ``rendered_text``."""
    end = time.monotonic() + TIMEOUT_S
    while (address := _page_address(port_file)) is None:
        _wait(process, end)
    empty_until: float | None = None
    # Its messages are of any size, and no proxy leads there.
    with connect(address, max_size=None, proxy=None) as page:
        while True:
            page.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": EVALUATE}))
            answer = json.loads(page.recv(TIMEOUT_S))
            is_loaded, text = answer["result"]["result"]["value"]
            now = time.monotonic()
            if is_loaded and empty_until is None:
                empty_until = now + EMPTY_S
            if text.strip() or (empty_until is not None and now >= empty_until):
                return str(text)
            _wait(process, end)


def _page_address(port_file: Path) -> str | None:
    """Return the address of the only page; None while the browser starts."""
    try:
        port, _, _ = port_file.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return None
    if not port:
        return None
    targets = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
    pages = (each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
    return next(pages, None)


def _wait(process: "subprocess.Popen[bytes]", end: float) -> None:
    """Wait for a moment.

    Raises:
        subprocess.SubprocessError: the browser has ended, or it is too late.
    """
    if (code := process.poll()) is not None:
        raise subprocess.CalledProcessError(code, process.args)
    if time.monotonic() >= end:
        raise subprocess.TimeoutExpired(process.args, TIMEOUT_S)
    time.sleep(POLL_S)


def browser_finding() -> Finding:
    """Report whether a browser here can play the streams."""
    browser = find_browser()
    if browser is None:
        return Finding("no local browser found to test; any current browser can play the streams")
    page = f"data:text/html,<script>document.write(MediaSource.isTypeSupported('{H264}'))</script>"
    try:
        text = rendered_text(browser, page)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(f"{browser} could not be tested: {error}")
    if "true" in text:
        return Finding(f"{browser} plays H.264")
    return Finding(f"{browser} does not play H.264", "use Chrome, Edge, Safari or Firefox")
