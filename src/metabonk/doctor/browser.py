"""A browser on this machine, without a window. Spectators may use others elsewhere."""

import re
import shutil
import subprocess
import tempfile

from metabonk.doctor.host import Finding

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_S = 30.0
H264 = 'video/mp4; codecs="avc1.42E020"'
"""Constrained Baseline, as every encoder here is told to make it."""


def find_browser() -> str | None:
    """Its path; None where there is none that is known to take these options."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def text_of(browser: str, url: str) -> str:
    """The text that a page shows once its scripts have run.

    Raises:
        OSError: the browser can't be started.
        subprocess.SubprocessError: it failed, or has not ended after ``TIMEOUT_S``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-sandbox", "--dump-dom"),
            *(f"--user-data-dir={profile}", "--timeout=8000", url),
        ]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    body = ended.stdout.partition("<body")[2].partition(">")[2]
    return re.sub(r"<(script|noscript).*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL)


def browser() -> Finding:
    """Whether a browser here plays what is streamed."""
    found = find_browser()
    if found is None:
        return Finding("no browser here that could be asked; any current one plays the streams")
    asked = f"data:text/html,<script>document.write(MediaSource.isTypeSupported('{H264}'))</script>"
    try:
        answer = text_of(found, asked)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(f"{found} could not be asked: {error}")
    if "true" in answer:
        return Finding(f"{found} plays H.264")
    return Finding(f"{found} does not play H.264", "use Chrome, Edge, Safari or Firefox")
