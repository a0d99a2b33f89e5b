import contextlib
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from metabonk.broadcast.wrapper import Broadcast


@pytest.fixture(autouse=True)
def rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the rings, which is this test's own and has no hub; children too."""
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("METABONK_HUB", "0")
    return tmp_path / "runtime" / "rings"


@pytest.fixture
def environment() -> Iterator[Broadcast]:
    made = Broadcast(gymnasium.make("Pendulum-v1", render_mode="rgb_array"), budget=1.0)
    made.reset(seed=1)
    with contextlib.closing(made):
        yield made
