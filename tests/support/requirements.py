"""What a test needs of the machine beyond Python packages."""

from typing import TypeVar

import pytest

T = TypeVar("T")


def require(found: T | None, what: str, *, apt: str) -> T:
    """Gives back ``found``; skips the test, with what to do, where it is missing."""
    if found is None:
        pytest.skip(f"{what} is missing; 'sudo apt-get install {apt}' adds it")
    return found
