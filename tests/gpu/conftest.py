"""What needs a real GPU: run by hand, on a machine that has one (``pytest tests/gpu``)."""

import pytest
import torch

from tests.conftest import STRICT

HAS_CUDA = torch.cuda.is_available()

# Where a skipped test counts as failed, as on the machines of CI, these are not asked for.
collect_ignore_glob = ["test_*.py"] if STRICT and not HAS_CUDA else []


@pytest.fixture
def cuda() -> torch.device:
    """The first GPU; skips the test where PyTorch has none."""
    if not HAS_CUDA:
        pytest.skip("PyTorch finds no CUDA device here; this test is for a machine with a GPU")
    return torch.device("cuda", 0)
