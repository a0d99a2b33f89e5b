"""``metabonk.system.descriptors``: how many files and sockets a process may open."""

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from metabonk.system.descriptors import descriptor_limit, raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
raise_descriptor_limit()
print(descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(256, 4096, "4096 4096 4096"), (300, 300, "300 300 300")]
)
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, expected: str):
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= hard
    command = [sys.executable, "-c", SCRIPT, str(soft), str(hard)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"{expected}\n"
