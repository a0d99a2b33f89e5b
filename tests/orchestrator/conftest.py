import pytest

from tests.support.children import disregard_earlier_descendants


@pytest.fixture
def _only_own_descendants() -> None:
    """Let a test count its descendants: other tests of this process may share a server."""
    disregard_earlier_descendants()
