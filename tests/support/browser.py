"""The browser in tests and benchmarks: its options, and a check of what it shows."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.support.machine_speed import SLOWNESS
from tests.support.requirements import require

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]

DONE_WITHIN_MS = 30_000
"""Playwright's own limit of what a page is asked to do."""

MINUS = "\N{MINUS SIGN}"

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def open_page(browser: Browser, **options: Any) -> Page:
    """Open a page in a context of its own, with limits for a machine as slow as this one."""
    page = browser.new_page(**options)
    page.set_default_timeout(DONE_WITHIN_MS * SLOWNESS)
    return page


def displayed(number: float) -> str:
    """Format a number as the page does."""
    size = abs(number)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 3 if size < 0.1 else 2
    rounded = Decimal(repr(number)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    text = f"{rounded:f}"
    while decimals > 1 and text.endswith("0"):
        text, decimals = text[:-1], decimals - 1
    return text.replace("-", MINUS)


def axe_violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page, with the elements."""
    axe = require(AXE if AXE.is_file() else None, "web/node_modules/axe-core", apt="npm")
    page.evaluate(axe.read_text())
    found = page.evaluate(
        f"axe.run({{ runOnly: {json.dumps(AXE_RULES)} }}).then(({{ violations }}) => violations)"
    )
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:160]}"
        for violation in found
        for node in violation["nodes"]
    ]
