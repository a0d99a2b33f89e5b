"""What a test needs of the machine beyond Python packages."""

import os
from typing import TypeVar

import pytest

T = TypeVar("T")


def require(found: T | None, what: str, *, apt: str) -> T:
    """Gives back ``found``; skips the test loudly where it is missing.

    Where METABONK_TEST_STRICT=1, as in CI, a missing requirement is a failure.
    """
    if found is not None:
        return found
    sentence = f"{what} is missing; 'sudo apt-get install {apt}' adds it"
    if os.environ.get("METABONK_TEST_STRICT") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)
