"""Requirements of tests beyond Python packages."""

import os
from typing import TypeVar

import pytest

STRICT = os.environ.get("METABONK_TEST_STRICT") == "1"
"""True if skipped tests count as failed."""

T = TypeVar("T")


def require(found: T | None, what: str, *, apt: str) -> T:
    """Return ``found``; if it is None, skip the test with a hint how to install it."""
    if found is None:
        pytest.skip(f"{what} is missing; 'sudo apt-get install {apt}' adds it")
    return found
