"""Tests that need a real GPU; run them by hand with ``pytest tests/gpu``."""

from collections.abc import Iterator

import pytest
import torch

from tests.support.requirements import STRICT

HAS_CUDA = torch.cuda.is_available()

# Not collected if skipped tests count as failed, as in CI.
collect_ignore_glob = ["test_*.py"] if STRICT and not HAS_CUDA else []


@pytest.fixture
def cuda() -> torch.device:
    """Return the first GPU; skip the test where PyTorch finds none."""
    if not HAS_CUDA:
        pytest.skip("PyTorch finds no CUDA device; run this test on a machine with a GPU")
    return torch.device("cuda", 0)


@pytest.fixture
def exact() -> Iterator[None]:
    """Let a GPU compute in single precision, as the CPU does."""
    operations = torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = [each.fp32_precision for each in operations]
    for each in operations:
        each.fp32_precision = "ieee"
    yield
    for each, precision in zip(operations, before, strict=True):
        each.fp32_precision = precision
