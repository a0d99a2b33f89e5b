"""A headless browser on this machine. Viewers may use others elsewhere."""

import re
import shutil
import subprocess
import tempfile

from metabonk.doctor.host import Finding

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_S = 30.0
H264 = 'video/mp4; codecs="avc1.42E020"'
"""Constrained Baseline, which every encoder here produces."""


def find_browser() -> str | None:
    """Return the path of a browser that takes Chromium's options; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def rendered_text(browser: str, url: str) -> str:
    """Return the text of a page after its scripts have run.

    Raises:
        OSError: the browser can't be started.
        subprocess.SubprocessError: it failed, or did not end within ``TIMEOUT_S``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-sandbox", "--dump-dom"),
            *(f"--user-data-dir={profile}", "--timeout=8000", url),
        ]
        ended = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=True,
        )
    body = ended.stdout.partition("<body")[2].partition(">")[2]
    return re.sub(r"<(script|noscript).*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL)


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
