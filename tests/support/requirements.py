"""Requirements of tests beyond Python packages."""

import os
from pathlib import Path
from typing import TypeVar

import pytest

from metabonk.desktop.catalog import find_program

STRICT = os.environ.get("METABONK_TEST_STRICT") == "1"
"""True if skipped tests count as failed."""

T = TypeVar("T")


def require(found: T | None, what: str, *, apt: str) -> T:
    """Return ``found``; if it is None, skip the test with a hint how to install it."""
    if found is None:
        pytest.skip(f"{what} is missing; 'sudo apt-get install {apt}' adds it")
    return found


def require_desktop(*needs: str, apt: str) -> None:
    """Skip the test unless desktop games can run, and these programs and files are there."""
    for need in ("Xvfb", "setpriv", *needs):
        found = need if Path(need).is_file() else find_program(need)
        require(found, need, apt=f"xvfb util-linux {apt}")
